// What an agent of an older generation (@dfinity/agent) does with a greeter: calls, queries, errors, certified status.
// Arguments: URL, root key (hex), canister id of a greeter.
const assert = require('node:assert/strict');
const { Actor, AnonymousIdentity, CanisterStatus, HttpAgent } = require('@dfinity/agent');
const { DelegationChain, DelegationIdentity, Ed25519KeyIdentity, ECDSAKeyIdentity } = require('@dfinity/identity');
const { Principal } = require('@dfinity/principal');
const { randomBytes } = require('node:crypto');

const [url, rootKey, greeter] = process.argv.slice(2);
// Some generations always make the same key unless they are given a seed.
const newIdentity = () => Ed25519KeyIdentity.generate(Uint8Array.from(randomBytes(32)));
const canisterId = Principal.fromText(greeter);
const greeterInterface = ({ IDL }) =>
  IDL.Service({
    big: IDL.Func([IDL.Nat], [IDL.Vec(IDL.Nat8)], ['query']),
    count: IDL.Func([], [IDL.Nat], []),
    fail: IDL.Func([IDL.Text], [], []),
    greet: IDL.Func([IDL.Text], [IDL.Text], ['query']),
    missing: IDL.Func([], [], ['query']),
    whoami: IDL.Func([], [IDL.Principal], ['query']),
  });

async function agentOf(identity) {
  const agent = new HttpAgent({ host: url, identity, fetch });
  await agent.fetchRootKey();
  assert.equal(Buffer.from(agent.rootKey).toString('hex'), rootKey);
  return agent;
}

async function delegated() {
  const [owner, session] = [newIdentity(), newIdentity()];
  const chain = await DelegationChain.create(owner, session.getPublicKey(), new Date(Date.now() + 600_000));
  return DelegationIdentity.fromDelegation(session, chain);
}

async function main() {
  const ecdsa = ECDSAKeyIdentity ? [await ECDSAKeyIdentity.generate()] : [];
  for (const identity of [new AnonymousIdentity(), newIdentity(), await delegated(), ...ecdsa]) {
    const agent = await agentOf(identity);
    const actor = Actor.createActor(greeterInterface, { agent, canisterId });
    assert.equal((await actor.whoami()).toText(), identity.getPrincipal().toText());
    const first = await actor.count();
    assert.equal(await actor.count(), first + 1n);
  }
  const agent = await agentOf(newIdentity());
  const actor = Actor.createActor(greeterInterface, { agent, canisterId });
  assert.equal(await actor.greet('you'), 'Hello, you!');
  assert.equal((await actor.big(1_000_000)).length, 1_000_000);
  await assert.rejects(actor.fail('why'), /why/);
  await assert.rejects(actor.missing(), /IC0536|has no query method/);
  const asUpdate = Actor.createActor(({ IDL }) => IDL.Service({ whoami: IDL.Func([], [IDL.Principal], []) }), { agent, canisterId });
  assert.equal((await asUpdate.whoami()).toText(), (await agent.getPrincipal()).toText());
  const counts = await Promise.all(Array.from({ length: 20 }, () => actor.count()));
  assert.equal(new Set(counts).size, 20);
  const paths = ['time', 'controllers', 'module_hash', 'candid', 'subnet'];
  const status = await CanisterStatus.request({ agent, canisterId, paths });
  assert.ok(status.get('controllers') !== null); // 0.15 loses the first one
  assert.match(status.get('module_hash'), /^[0-9a-f]{64}$/);
  assert.match(status.get('candid'), /service : \{/);
  console.log('nothing wrong');
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
