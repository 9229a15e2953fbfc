// What @icp-sdk/core, the official JavaScript agent, sees of a replica.
// Arguments: URL, root key (hex), canister id of a keeper.
import assert from 'node:assert/strict';
import { HttpAgent, Actor, AnonymousIdentity, CanisterStatus, Certificate, polling } from '@icp-sdk/core/agent';
import { IDL } from '@icp-sdk/core/candid';
import { DelegationChain, DelegationIdentity, ECDSAKeyIdentity, Ed25519KeyIdentity } from '@icp-sdk/core/identity';
import { Secp256k1KeyIdentity } from '@icp-sdk/core/identity/secp256k1';
import { Principal } from '@icp-sdk/core/principal';
import { agentOf, bytes, given, rootKey, run, text } from './checks.mjs';

const keeper = Principal.fromText(given[0]);

async function update(agent, methodName, arg, callSync = true) {
  const { requestId, response } = await agent.call(keeper, { methodName, arg, callSync });
  if (callSync) {
    assert.equal(response.status, 200);
    const certificate = await Certificate.create({
      certificate: response.body.certificate,
      rootKey,
      principal: { canisterId: keeper },
    });
    const status = certificate.lookup_path(['request_status', requestId, 'status']);
    return { status: text(status.value), certificate, requestId };
  }
  assert.equal(response.status, 202);
  return polling.pollForResponse(agent, keeper, requestId);
}

await run({
  async 'status with root key'() {
    const { host } = await agentOf();
    const agent = await HttpAgent.create({ host: host.toString(), shouldFetchRootKey: true });
    assert.deepEqual(agent.rootKey, rootKey);
    assert.equal((await agent.status()).replica_health_status, 'healthy');
  },
  async 'synchronous call, certificate verified'() {
    const agent = await agentOf(Ed25519KeyIdentity.generate());
    assert.equal((await update(agent, 'set', bytes('from js'))).status, 'replied');
    const answer = await agent.query(keeper, { methodName: 'get', arg: new Uint8Array() });
    assert.equal(answer.status, 'replied');
    assert.equal(text(answer.reply.arg), 'from js');
    assert.equal(answer.signatures.length, 1);
  },
  async 'asynchronous call, polled for'() {
    const agent = await agentOf(Ed25519KeyIdentity.generate());
    const { reply } = await update(agent, 'set', bytes('polled'), false);
    assert.equal(reply.length, 0);
  },
  async 'certified reject of a trap'() {
    const agent = await agentOf(Ed25519KeyIdentity.generate());
    const { status } = await update(agent, 'fail', bytes('boom'));
    assert.equal(status, 'rejected');
    const actor = Actor.createActor(() => IDL.Service({ fail: IDL.Func([], [], []) }), { agent, canisterId: keeper });
    await assert.rejects(actor.fail(), /IC0503|ic0.trap/);
  },
  async 'reject of a query, signature verified'() {
    const agent = await agentOf(Ed25519KeyIdentity.generate());
    const answer = await agent.query(keeper, { methodName: 'nowhere', arg: new Uint8Array() });
    assert.equal(answer.status, 'rejected');
    assert.equal(answer.reject_code, 5);
    assert.equal(answer.error_code, 'IC0536');
  },
  async 'every kind of identity'() {
    const delegated = async (inner) => {
      const session = Ed25519KeyIdentity.generate();
      const chain = await DelegationChain.create(inner, session.getPublicKey(), new Date(Date.now() + 600_000));
      return DelegationIdentity.fromDelegation(session, chain);
    };
    const identities = [
      new AnonymousIdentity(),
      Ed25519KeyIdentity.generate(),
      Secp256k1KeyIdentity.generate(),
      await ECDSAKeyIdentity.generate(),
      await delegated(Ed25519KeyIdentity.generate()),
      await delegated(Secp256k1KeyIdentity.generate()),
      await delegated(await ECDSAKeyIdentity.generate()),
    ];
    for (const identity of identities) {
      const agent = await agentOf(identity);
      assert.equal((await update(agent, 'set', bytes('x'))).status, 'replied');
      const answer = await agent.query(keeper, { methodName: 'caller', arg: new Uint8Array() });
      assert.equal(Principal.fromUint8Array(answer.reply.arg).toText(), identity.getPrincipal().toText());
    }
  },
  async 'delegation to other canisters refused'() {
    const owner = Ed25519KeyIdentity.generate();
    const session = Ed25519KeyIdentity.generate();
    const expiration = new Date(Date.now() + 600_000);
    const targets = [Principal.fromText('um5iw-rqaaa-aaaaq-qaaba-cai')];
    const chain = await DelegationChain.create(owner, session.getPublicKey(), expiration, { targets });
    const agent = await agentOf(DelegationIdentity.fromDelegation(session, chain), { retryTimes: 0 });
    await assert.rejects(agent.call(keeper, { methodName: 'set', arg: bytes('x') }));
  },
  async 'canister status by read_state'() {
    const agent = await agentOf(Ed25519KeyIdentity.generate());
    const status = await CanisterStatus.request({
      canisterId: keeper,
      agent,
      paths: ['time', 'controllers', 'subnet', 'module_hash'],
    });
    assert.equal(status.get('controllers').length, 1);
    assert.match(status.get('module_hash'), /^[0-9a-f]{64}$/);
    assert.equal(status.get('subnet').nodeKeys.size, 1);
    assert.ok(Math.abs(status.get('time') - Date.now()) < 60_000);
  },
  async 'many calls and queries at once'() {
    const agent = await agentOf(Ed25519KeyIdentity.generate());
    const updates = Array.from({ length: 20 }, (_, n) => update(agent, 'set', bytes(`${n}`)));
    const queries = Array.from({ length: 20 }, () => agent.query(keeper, { methodName: 'get', arg: new Uint8Array() }));
    for (const { status } of await Promise.all([...updates, ...queries])) assert.equal(status, 'replied');
  },
});
