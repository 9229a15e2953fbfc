// Many, large and refused messages, as @icp-sdk/core sees them.
// Arguments: URL, root key (hex), canister ids of a greeter and of a keeper.
import assert from 'node:assert/strict';
import { AgentError, CertifiedRejectErrorCode, UncertifiedRejectErrorCode, UncertifiedRejectUpdateErrorCode } from '@icp-sdk/core/agent';
import { IDL } from '@icp-sdk/core/candid';
import { Ed25519KeyIdentity } from '@icp-sdk/core/identity';
import { Principal } from '@icp-sdk/core/principal';
import { agentOf, bytes, given, run, text } from './checks.mjs';

const [greeter, keeper] = given.map((id) => Principal.fromText(id));
const agent = await agentOf(Ed25519KeyIdentity.generate());
const MIB = 1 << 20;
const size = (count) => IDL.encode([IDL.Nat], [count]);

async function errorOf(pending) {
  const error = await pending.then(() => assert.fail('it succeeded'), (error) => error);
  assert.ok(error instanceof AgentError, `${error}`);
  return error.cause.code;
}

await run({
  async 'a reply of 2 MB by update, of 3 MB by query'() {
    const updated = await agent.update(greeter, { methodName: 'big', arg: size(2_000_000) });
    assert.equal(updated.reply.length > 2_000_000, true);
    const queried = await agent.query(greeter, { methodName: 'big', arg: size(3_000_000) });
    assert.equal(queried.reply.arg.length > 3_000_000, true);
  },
  async 'a reply that is too large is an error'() {
    assert.equal((await errorOf(agent.update(greeter, { methodName: 'big', arg: size(2 * MIB) }))).rejectErrorCode, 'IC0504');
    const answer = await agent.query(greeter, { methodName: 'big', arg: size(3 * MIB) });
    assert.equal(answer.error_code, 'IC0504');
  },
  async 'an argument of 1.9 MB goes in, and out again'() {
    const arg = new Uint8Array(60_000).fill(7);
    await agent.update(keeper, { methodName: 'set', arg });
    assert.deepEqual(Uint8Array.from((await agent.query(keeper, { methodName: 'get', arg: new Uint8Array() })).reply.arg), arg);
    await agent.update(greeter, { methodName: 'greet', arg: IDL.encode([IDL.Text], ['x'.repeat(1_900_000)]) });
  },
  async 'an argument that is too large is refused'() {
    const arg = new Uint8Array(2 * MIB);
    assert.match(`${await errorOf(agent.update(keeper, { methodName: 'set', arg }))}`, /413|large/i);
  },
  async 'kinds of errors'() {
    const certified = await errorOf(agent.update(keeper, { methodName: 'fail', arg: bytes('why') }));
    assert.ok(certified instanceof CertifiedRejectErrorCode);
    assert.deepEqual([certified.rejectCode, certified.rejectErrorCode], [5, 'IC0503']);
    const refused = await errorOf(agent.update(keeper, { methodName: 'refuse', arg: bytes('no') }));
    assert.deepEqual([refused.rejectCode, refused.rejectErrorCode, refused.rejectMessage], [4, 'IC0406', 'no']);
    const nowhere = Principal.fromText('uxrrr-q7777-77774-qaaaq-cai');
    const uncertified = await errorOf(agent.update(nowhere, { methodName: 'set', arg: bytes('') }));
    assert.ok(uncertified instanceof UncertifiedRejectUpdateErrorCode || uncertified instanceof UncertifiedRejectErrorCode);
    assert.deepEqual([uncertified.rejectCode, uncertified.rejectErrorCode], [3, 'IC0301']);
    const query = await agent.query(nowhere, { methodName: 'get', arg: bytes('') });
    assert.deepEqual([query.status, query.reject_code, query.error_code], ['rejected', 3, 'IC0301']);
  },
  async 'polling tells the same as the synchronous call'() {
    for (const callSync of [true, false]) {
      const polled = await errorOf(agent.update(keeper, { methodName: 'fail', arg: bytes('why'), callSync }));
      assert.equal(polled.rejectErrorCode, 'IC0503');
    }
  },
  async '200 updates and 200 queries at once'() {
    const counts = Array.from({ length: 200 }, () => agent.update(greeter, { methodName: 'count', arg: bytes('DIDL\0\0') }));
    const queries = Array.from({ length: 200 }, () => agent.query(greeter, { methodName: 'version', arg: bytes('DIDL\0\0') }));
    const told = (await Promise.all(counts)).map(({ reply }) => IDL.decode([IDL.Nat], reply)[0]);
    assert.equal(new Set(told).size, 200);
    for (const { reply } of await Promise.all(queries)) assert.match(text(reply.arg), /one/);
  },
});
