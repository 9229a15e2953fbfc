// Who may act for whom, as @icp-sdk/core signs it: chains of delegations, canister signatures, web authentication.
// Arguments: URL, root key (hex), canister ids of a greeter and of a signer.
import assert from 'node:assert/strict';
import { createHash, generateKeyPairSync, randomBytes, sign } from 'node:crypto';
import { Actor, Cbor } from '@icp-sdk/core/agent';
import { IDL } from '@icp-sdk/core/candid';
import {
  Delegation, DelegationChain, DelegationIdentity, ECDSAKeyIdentity, Ed25519KeyIdentity, WebAuthnIdentity,
} from '@icp-sdk/core/identity';
import { Secp256k1KeyIdentity } from '@icp-sdk/core/identity/secp256k1';
import { Principal } from '@icp-sdk/core/principal';
import { agentOf, given, run } from './checks.mjs';

const [greeter, signer] = given.map((id) => Principal.fromText(id));
const greeterInterface = () =>
  IDL.Service({ whoami: IDL.Func([], [IDL.Principal], ['query']), count: IDL.Func([], [IDL.Nat], []) });
const Blob = IDL.Vec(IDL.Nat8);
const signerInterface = () =>
  IDL.Service({
    public_key: IDL.Func([Blob], [Blob], ['query']),
    prepare_delegation: IDL.Func([Blob, Blob, IDL.Nat64], [], []),
    get_delegation: IDL.Func([Blob, Blob, IDL.Nat64], [Blob], ['query']),
  });
const later = (seconds = 600) => new Date(Date.now() + seconds * 1000);
const actorOf = async (identity) =>
  Actor.createActor(greeterInterface, { agent: await agentOf(identity, { retryTimes: 0 }), canisterId: greeter });

async function isKnown(identity) {
  const actor = await actorOf(identity);
  assert.equal((await actor.whoami()).toText(), identity.getPrincipal().toText());
  await actor.count();
}

// A chain from `owner` over sessions of every kind of key, and its last key.
async function chain(owner, length, options = {}) {
  const makers = [Ed25519KeyIdentity, Secp256k1KeyIdentity, ECDSAKeyIdentity];
  let [from, delegations] = [owner, undefined];
  for (let number = 0; number < length; number++) {
    const to = await makers[number % makers.length].generate();
    delegations = await DelegationChain.create(from, to.getPublicKey(), later(), { previous: delegations, ...options });
    from = to;
  }
  return DelegationIdentity.fromDelegation(from, delegations);
}

// A delegation to `session` by canister signature, for whoever the seed stands for.
async function delegatedByCanister(session, seed, signed = {}) {
  const actor = Actor.createActor(signerInterface, { agent: await agentOf(), canisterId: signer });
  const publicKey = await actor.public_key(seed);
  const key = signed.key ?? session.getPublicKey().toDer();
  const expiration = BigInt(later().getTime()) * 1_000_000n;
  await actor.prepare_delegation(seed, key, expiration);
  const signature = await actor.get_delegation(seed, key, expiration);
  const delegation = new Delegation(session.getPublicKey().toDer(), expiration + (signed.longer ?? 0n));
  const delegations = DelegationChain.fromDelegations([{ delegation, signature }], publicKey);
  return { publicKey, delegations, identity: DelegationIdentity.fromDelegation(session, delegations) };
}

// An authenticator of web authentication in software, with one P-256 key.
function authenticator() {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const jwk = publicKey.export({ format: 'jwk' });
  const [x, y] = [jwk.x, jwk.y].map((number) => Buffer.from(number, 'base64url'));
  const cose = Buffer.concat([Buffer.from('a5010203262001215820', 'hex'), x, Buffer.from('225820', 'hex'), y]);
  const rawId = randomBytes(16);
  const flags = Buffer.concat([createHash('sha256').update('localhost').digest(), Buffer.from('4500000000', 'hex')]);
  const authData = Uint8Array.from(Buffer.concat([flags, Buffer.alloc(16), Buffer.from([0, rawId.length]), rawId, cose]));
  const credential = (response) => ({ id: '', type: 'public-key', rawId, response, toJSON: () => ({}), authenticatorAttachment: null });
  return {
    create: async () => credential({ attestationObject: Cbor.encode({ authData }) }),
    async get({ publicKey: { challenge } }) {
      const told = { type: 'webauthn.get', challenge: Buffer.from(challenge).toString('base64url'), origin: 'http://localhost' };
      const clientDataJSON = Buffer.from(JSON.stringify(told));
      const signed = Buffer.concat([flags, createHash('sha256').update(clientDataJSON).digest()]);
      const signature = Uint8Array.from(sign('sha256', signed, privateKey));
      return credential({ authenticatorData: Uint8Array.from(flags), clientDataJSON, signature });
    },
  };
}

await run({
  async 'chains over every kind of key'() {
    for (const length of [1, 3, 20]) await isKnown(await chain(Ed25519KeyIdentity.generate(), length));
  },
  async 'a chain that is too long is refused'() {
    await assert.rejects(isKnown(await chain(Ed25519KeyIdentity.generate(), 21)));
  },
  async 'a delegation holds for its targets only'() {
    await isKnown(await chain(Ed25519KeyIdentity.generate(), 2, { targets: [signer, greeter] }));
    await assert.rejects(isKnown(await chain(Ed25519KeyIdentity.generate(), 2, { targets: [signer] })));
  },
  async 'a delegation for queries is none for updates'() {
    const identity = await chain(Ed25519KeyIdentity.generate(), 1, { permissions: 'queries' });
    const actor = await actorOf(identity);
    assert.equal((await actor.whoami()).toText(), identity.getPrincipal().toText());
    await assert.rejects(actor.count());
  },
  async 'an expired delegation is refused'() {
    const [owner, session] = [Ed25519KeyIdentity.generate(), Ed25519KeyIdentity.generate()];
    const delegations = await DelegationChain.create(owner, session.getPublicKey(), later(-600));
    await assert.rejects(isKnown(DelegationIdentity.fromDelegation(session, delegations)));
  },
  async 'a canister delegates by its signature'() {
    const session = await ECDSAKeyIdentity.generate();
    const { publicKey, identity } = await delegatedByCanister(session, new Uint8Array([1, 2, 3]));
    assert.equal(identity.getPrincipal().toText(), Principal.selfAuthenticating(publicKey).toText());
    await isKnown(identity);
    const others = await delegatedByCanister(Ed25519KeyIdentity.generate(), new Uint8Array(32));
    await isKnown(others.identity);
  },
  async 'whom a canister delegated to may delegate further'() {
    const [session, next] = [Ed25519KeyIdentity.generate(), Ed25519KeyIdentity.generate()];
    const { delegations } = await delegatedByCanister(session, new Uint8Array([4]));
    const longer = await DelegationChain.create(session, next.getPublicKey(), later(), { previous: delegations });
    await isKnown(DelegationIdentity.fromDelegation(next, longer));
  },
  async 'what the canister did not sign is refused'() {
    const other = Ed25519KeyIdentity.generate().getPublicKey().toDer();
    for (const signed of [{ key: other }, { longer: 1n }]) {
      const { identity } = await delegatedByCanister(Ed25519KeyIdentity.generate(), new Uint8Array([5]), signed);
      await assert.rejects(isKnown(identity), /signature|Forbidden|400|delegation/i);
    }
  },
  async 'web authentication'() {
    Object.defineProperty(globalThis, 'navigator', { value: { credentials: authenticator() }, configurable: true });
    const identity = await WebAuthnIdentity.create();
    await isKnown(identity);
    await isKnown(await chain(identity, 2));
  },
});
