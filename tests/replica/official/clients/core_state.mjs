// What @icp-sdk/core reads of the state tree, of a canister and of the subnet, verified.
// Arguments: URL, root key (hex), canister id of a greeter.
import assert from 'node:assert/strict';
import { CanisterStatus, HttpAgent, SubnetStatus, fetchCandid } from '@icp-sdk/core/agent';
import { Ed25519KeyIdentity } from '@icp-sdk/core/identity';
import { Principal } from '@icp-sdk/core/principal';
import { agentOf, bytes, given, rootKey, run, text } from './checks.mjs';

const greeter = Principal.fromText(given[0]);
const agent = await agentOf(Ed25519KeyIdentity.generate());
const subnetId = await agent.getSubnetIdFromCanister(greeter);
const isNow = (date) => assert.ok(Math.abs(date - Date.now()) < 60_000);

await run({
  async 'canister status, every kind of path'() {
    const custom = new CanisterStatus.CustomPath('arguments', 'candid:args', 'utf-8');
    const raw = new CanisterStatus.CustomPath('hash', [bytes('canister'), greeter.toUint8Array(), bytes('module_hash')], 'hex');
    const paths = ['time', 'controllers', 'subnet', 'module_hash', 'candid', custom, raw];
    const status = await CanisterStatus.request({ canisterId: greeter, agent, paths });
    isNow(status.get('time'));
    assert.equal(status.get('controllers').length, 1);
    assert.match(status.get('candid'), /service : \{/);
    assert.match(status.get('arguments'), /^\(greeting:\s+text\)$/);
    assert.equal(status.get('hash'), status.get('module_hash'));
    assert.equal(status.get('subnet').subnetId, subnetId.toText());
  },
  async 'what a canister does not have is null'() {
    const absent = new CanisterStatus.CustomPath('absent', 'no such section', 'utf-8');
    const status = await CanisterStatus.request({ canisterId: greeter, agent, paths: [absent] });
    assert.equal(status.get('absent'), null);
  },
  async 'subnet status, every kind of path'() {
    const kind = new SubnetStatus.CustomPath('type', [bytes('subnet'), subnetId.toUint8Array(), bytes('type')], 'utf-8');
    const paths = ['time', 'canisterRanges', 'publicKey', 'nodeKeys', kind];
    const status = await SubnetStatus.request({ subnetId, agent, paths });
    isNow(status.get('time'));
    assert.deepEqual(status.get('publicKey'), rootKey);
    assert.equal(status.get('nodeKeys').size, 1);
    assert.ok(status.get('canisterRanges').some(([low, high]) => low.compareTo(greeter) !== 'gt' && high.compareTo(greeter) !== 'lt'));
    assert.equal(status.get('type'), 'application');
  },
  async 'the interface in the module'() {
    assert.match(await fetchCandid(greeter.toText(), agent), /greet: \(name: text\)/);
  },
  async 'paths as they are, of the canister and of the subnet'() {
    const path = [bytes('canister'), greeter.toUint8Array(), bytes('module_hash')];
    const { verifiedCertificate } = await agent.readState({ canisterId: greeter }, { paths: [path, [bytes('time')]] });
    assert.equal(verifiedCertificate.lookup_path(path).value.length, 32);
    const ranges = [bytes('subnet'), subnetId.toUint8Array(), bytes('public_key')];
    const of_subnet = await agent.readSubnetState(subnetId, { paths: [ranges] });
    assert.deepEqual(Uint8Array.from(of_subnet.verifiedCertificate.lookup_path(ranges).value), rootKey);
  },
  async 'keys of the nodes, and time'() {
    assert.equal((await agent.fetchSubnetKeys({ canisterId: greeter })).size, 1);
    const fresh = await agentOf(Ed25519KeyIdentity.generate());
    await fresh.syncTime({ canisterId: greeter });
    assert.ok(fresh.hasSyncedTime() && Math.abs(fresh.getTimeDiffMsecs()) < 60_000);
    await fresh.syncTimeWithSubnet(subnetId);
  },
  async 'status and root key'() {
    const other = HttpAgent.createSync({ host: agent.host.toString() });
    assert.deepEqual(await other.fetchRootKey(), rootKey);
    assert.ok((await other.status()).impl_version.length > 0);
  },
  async 'a clock that is wrong is set by what the replica says'() {
    const RightDate = Date;
    try {
      for (const skew of [-20 * 60_000, 20 * 60_000]) {
        globalThis.Date = class extends RightDate {
          constructor(...given) {
            super(...(given.length ? given : [RightDate.now() + skew]));
          }
          static now() {
            return RightDate.now() + skew;
          }
        };
        const late = await agentOf(Ed25519KeyIdentity.generate(), { shouldSyncTime: false });
        await late.update(greeter, { methodName: 'version', arg: bytes('DIDL\0\0') });
        const { reply } = await late.query(greeter, { methodName: 'version', arg: bytes('DIDL\0\0') });
        assert.match(text(reply.arg), /one/);
        assert.ok(Math.abs(late.getTimeDiffMsecs() + skew) < 60_000);
      }
    } finally {
      globalThis.Date = RightDate;
    }
  },
});
