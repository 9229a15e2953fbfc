// ICP and cycles by the official ledger clients, queries verified and again certified (as update calls).
// Arguments: URL, root key (hex), id of a canister to top up.
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { AnonymousIdentity, HttpAgent } from '@icp-sdk/core/agent';
import { IDL } from '@icp-sdk/core/candid';
import { Ed25519KeyIdentity } from '@icp-sdk/core/identity';
import { Principal } from '@icp-sdk/core/principal';

// Their ES modules cannot be loaded by Node; their other form can.
const require = createRequire(import.meta.url);
const icp = require('@icp-sdk/canisters/ledger/icp');
const icrc = require('@icp-sdk/canisters/ledger/icrc');
const { CyclesLedgerCanister } = require('@icp-sdk/canisters/ledger/cycles');
const { CmcCanister } = require('@icp-sdk/canisters/cmc');

const [url, rootKey, target] = process.argv.slice(2);
const agentOf = (identity) =>
  HttpAgent.create({
    host: url,
    rootKey: Uint8Array.from(Buffer.from(rootKey, 'hex')),
    identity,
    verifyQuerySignatures: true,
  });
const id = (text) => Principal.fromText(text);
const LEDGER = id('ryjl3-tyaaa-aaaaa-aaaba-cai');
const CYCLES = id('um5iw-rqaaa-aaaaq-qaaba-cai');
const CMC = id('rkp4c-7iaaa-aaaaa-aaaca-cai');
const ICP = 100_000_000n;
const FEE = 10_000n;

const alice = Ed25519KeyIdentity.generate();
const bob = Ed25519KeyIdentity.generate();
const agent = await agentOf(alice);
const bobsAgent = await agentOf(bob);
const me = { owner: alice.getPrincipal() };
const candid = ({ owner, subaccount }) => ({ owner, subaccount: subaccount ? [subaccount] : [] });
const identifier = icp.AccountIdentifier.fromPrincipal({ principal: me.owner });

// ICP
const bank = icp.IcpLedgerCanister.create({ agent: await agentOf(new AnonymousIdentity()), canisterId: LEDGER });
const ledger = icp.IcpLedgerCanister.create({ agent, canisterId: LEDGER });
assert.equal(await ledger.accountBalance({ accountIdentifier: identifier }), 0n);
await bank.transfer({ to: identifier, amount: 10n * ICP, memo: 7n });
for (const certified of [true, false]) {
  assert.equal(await ledger.accountBalance({ accountIdentifier: identifier.toHex(), certified }), 10n * ICP);
  assert.equal(await ledger.transactionFee({ certified }), FEE);
}
const bobs = { owner: bob.getPrincipal(), subaccount: [] };
const createdAt = BigInt(Date.now()) * 1_000_000n;
const sent = await ledger.icrc1Transfer({ to: bobs, amount: ICP, createdAt, icrc1Memo: new Uint8Array([1]) });
await assert.rejects(
  ledger.icrc1Transfer({ to: bobs, amount: ICP, createdAt, icrc1Memo: new Uint8Array([1]) }),
  (error) => error.duplicateOf === sent,
);
await assert.rejects(ledger.transfer({ to: identifier, amount: ICP, fee: 1n }), icp.BadFeeError);
await assert.rejects(
  ledger.transfer({ to: identifier, amount: 100n * ICP }),
  (error) => error instanceof icp.InsufficientFundsError && error.balance === 9n * ICP - FEE,
);
await assert.rejects(ledger.transfer({ to: identifier, amount: 1n, createdAt: 1n }), icp.TxTooOldError);
await ledger.icrc2Approve({ spender: bobs, amount: 2n * ICP, expires_at: createdAt + 3_600_000_000_000n });
const icrcLedger = icrc.IcrcLedgerCanister.create({ agent: bobsAgent, canisterId: LEDGER });
const taken = await icrcLedger.transferFrom({ from: candid(me), to: bobs, amount: ICP });
const allowance = await icrcLedger.allowance({ account: candid(me), spender: bobs });
assert.equal(allowance.allowance, ICP - FEE);
assert.equal(icrc.mapTokenMetadata(await icrcLedger.metadata({})).symbol, 'ICP');

const blob = IDL.Opt(IDL.Vec(IDL.Nat8));
const transferArg = IDL.Record({
  to: IDL.Record({ owner: IDL.Principal, subaccount: blob }),
  amount: IDL.Nat,
  fee: IDL.Opt(IDL.Nat),
  memo: blob,
  from_subaccount: blob,
  created_at_time: IDL.Opt(IDL.Nat64),
});
const asked = { to: bobs, amount: ICP, fee: [], memo: [], from_subaccount: [], created_at_time: [] };
const consent = await ledger.icrc21ConsentMessage({
  method: 'icrc1_transfer',
  arg: IDL.encode([transferArg], [asked]),
  userPreferences: { metadata: { language: 'en', utcOffsetMinutes: 60 }, deriveSpec: { GenericDisplay: null } },
});
assert.match(consent.consent_message.GenericDisplayMessage, /^# Send Internet Computer/);

// The index
const indexId = await icrcLedger.getIndexPrincipal({});
const index = icp.IcpIndexCanister.create({ agent, canisterId: indexId });
const found = await index.getTransactions({ accountIdentifier: identifier.toHex(), maxResults: 100n });
assert.equal(found.balance, await ledger.accountBalance({ accountIdentifier: identifier }));
assert.equal(found.transactions.length, 4);
assert.equal(found.transactions[0].id, taken);
assert.equal(found.transactions[3].transaction.memo, 7n);
assert.ok('Approve' in found.transactions[1].transaction.operation);

// ICP to cycles
const cmc = CmcCanister.create({ agent, canisterId: CMC });
const rate = ICP * (await cmc.getIcpToCyclesConversionRate({ certified: true })); // cycles for one ICP
assert.equal(rate, 3_520_000_000_000n);
assert.equal((await cmc.getDefaultSubnets()).length, 1);
await cmc.getSubnetTypesToSubnets();
const pay = (principal, memo, amount = ICP) =>
  ledger.transfer({
    memo,
    amount,
    to: icp.AccountIdentifier.fromPrincipal({
      principal: CMC,
      subAccount: icp.SubAccount.fromPrincipal(principal),
    }),
  });
const minted = await cmc.notifyMintCycles({
  block_index: await pay(me.owner, 0x544e494dn),
  to_subaccount: [new Uint8Array(32).fill(1)],
  deposit_memo: [],
});
assert.equal(minted.minted, rate);
assert.equal(minted.balance, rate - 100_000_000n);
assert.equal(await cmc.notifyTopUp({ block_index: await pay(id(target), 0x50555054n), canister_id: id(target) }), rate);
const created = await cmc.notifyCreateCanister({
  block_index: await pay(me.owner, 0x41455243n),
  controller: me.owner,
  subnet_type: [],
  subnet_selection: [],
  settings: [],
});
assert.ok(created.toText().endsWith('-cai'));
const { RefundedError } = require('@icp-sdk/canisters/cmc');
await assert.rejects(
  cmc.notifyMintCycles({ block_index: await pay(me.owner, 1n), to_subaccount: [], deposit_memo: [] }),
  RefundedError,
);

// Cycles
const cycles = icrc.IcrcLedgerCanister.create({ agent, canisterId: CYCLES });
const bobsCycles = icrc.IcrcLedgerCanister.create({ agent: bobsAgent, canisterId: CYCLES });
const mine = { owner: me.owner, subaccount: new Uint8Array(32).fill(1) };
assert.equal(await cycles.balance(mine), minted.balance);
assert.equal(icrc.mapTokenMetadata(await cycles.metadata({ certified: true })).symbol, 'TCYCLES');
const from_subaccount = mine.subaccount;
await cycles.transfer({ from_subaccount, to: bobs, amount: 1_000n, created_at_time: createdAt });
await assert.rejects(
  cycles.transfer({ from_subaccount, to: bobs, amount: 1_000n, created_at_time: createdAt }),
  (error) => 'Duplicate' in error.errorType,
);
await cycles.approve({ from_subaccount, spender: bobs, amount: 1_000_000_000n });
const last = await bobsCycles.transferFrom({ from: candid(mine), to: bobs, amount: 5n });
const { blocks, log_length } = await cycles.getBlocks({ args: [{ start: last, length: 10n }] });
assert.equal(log_length, last + 1n);
assert.equal(blocks[0].id, last);
const cyclesIndex = icrc.IcrcIndexCanister.create({ agent, canisterId: await cycles.getIndexPrincipal({}) });
assert.equal((await cyclesIndex.ledgerId({})).toText(), CYCLES.toText());
assert.equal((await cyclesIndex.status({})).num_blocks_synced, log_length);
const history = await cyclesIndex.getTransactions({ account: mine, max_results: 100n });
assert.equal(history.balance, await cycles.balance(mine));
assert.deepEqual(
  history.transactions.map(({ transaction }) => transaction.kind),
  ['transfer', 'approve', 'transfer', 'mint'],
);
assert.equal((await cyclesIndex.listSubaccounts({ owner: me.owner })).length, 1);
const withdrawing = CyclesLedgerCanister.create({ agent, canisterId: CYCLES });
const withdrawn = await withdrawing.withdraw({ to: id(target), amount: 1_000n, fromSubaccount: from_subaccount });
assert.ok(withdrawn !== undefined);
console.log('done');
