//! A canister that keeps its money in the ledgers of the network, written with their public crates.

use candid::{CandidType, Deserialize, Nat, Principal};
use ic_cdk::api::{canister_self, time};
use ic_cdk::call::Call;
use ic_ledger_types::{
    account_balance, query_blocks, transfer, AccountBalanceArgs, AccountIdentifier, GetBlocksArgs, Memo, Operation,
    Subaccount, Timestamp, Tokens, TransferArgs, TransferError, DEFAULT_FEE, DEFAULT_SUBACCOUNT,
    MAINNET_CYCLES_MINTING_CANISTER_ID, MAINNET_LEDGER_CANISTER_ID,
};
use icrc_ledger_types::icrc::generic_value::ICRC3Value;
use icrc_ledger_types::icrc1::account::Account;
use icrc_ledger_types::icrc2::allowance::{Allowance, AllowanceArgs};
use icrc_ledger_types::icrc2::approve::{ApproveArgs, ApproveError};
use icrc_ledger_types::icrc2::transfer_from::{TransferFromArgs, TransferFromError};
use icrc_ledger_types::icrc3::blocks::{GetBlocksRequest, GetBlocksResult};

const CYCLES_LEDGER: Principal = Principal::from_slice(&[0, 0, 0, 0, 2, 16, 0, 2, 1, 1]);
const MINT: Memo = Memo(0x544e494d);

fn own_account() -> AccountIdentifier {
    AccountIdentifier::new(&canister_self(), &DEFAULT_SUBACCOUNT)
}

async fn pay(to: AccountIdentifier, e8s: u64, memo: Memo, created_at_time: Option<Timestamp>) -> Result<u64, TransferError> {
    let args = TransferArgs {
        memo,
        amount: Tokens::from_e8s(e8s),
        fee: DEFAULT_FEE,
        from_subaccount: None,
        to,
        created_at_time,
    };
    transfer(MAINNET_LEDGER_CANISTER_ID, &args).await.expect("the ICP ledger answers")
}

/// e8s in this canister's account.
#[ic_cdk::update]
async fn held() -> u64 {
    let args = AccountBalanceArgs { account: own_account() };
    account_balance(MAINNET_LEDGER_CANISTER_ID, &args).await.expect("the ICP ledger answers").e8s()
}

/// Sends the same ICP twice; the ledger has to notice. Returns the block of the first.
#[ic_cdk::update]
async fn pay_once(to: Principal, e8s: u64) -> u64 {
    let to = AccountIdentifier::new(&to, &DEFAULT_SUBACCOUNT);
    let now = Some(Timestamp { timestamp_nanos: time() });
    let block = pay(to, e8s, Memo(7), now).await.expect("there is enough");
    match pay(to, e8s, Memo(7), now).await {
        Err(TransferError::TxDuplicate { duplicate_of }) if duplicate_of == block => block,
        other => ic_cdk::trap(format!("paid twice: {other:?}")),
    }
}

/// Who was paid how much by a block.
#[ic_cdk::update]
async fn payment(block: u64) -> (Vec<u8>, u64) {
    let args = GetBlocksArgs { start: block, length: 1 };
    let answer = query_blocks(MAINNET_LEDGER_CANISTER_ID, &args).await.expect("the ICP ledger answers");
    match answer.blocks[0].transaction.operation {
        Some(Operation::Transfer { to, amount, .. }) => (to.as_ref().to_vec(), amount.e8s()),
        ref other => ic_cdk::trap(format!("not a transfer: {other:?}")),
    }
}

#[derive(CandidType)]
struct NotifyMintCyclesArg {
    block_index: u64,
    to_subaccount: Option<Vec<u8>>,
    deposit_memo: Option<Vec<u8>>,
}

#[derive(CandidType, Deserialize)]
struct Minted {
    balance: Nat,
}

#[derive(CandidType, Deserialize, Debug)]
enum NotifyError {
    Refunded { reason: String, block_index: Option<u64> },
    InvalidTransaction(String),
    TransactionTooOld(u64),
    Processing,
    Other { error_code: u64, error_message: String },
}

/// Turns ICP into cycles of this canister's account in the cycles ledger; returns its balance.
#[ic_cdk::update]
async fn mint(e8s: u64) -> Nat {
    let to = AccountIdentifier::new(&MAINNET_CYCLES_MINTING_CANISTER_ID, &Subaccount::from(canister_self()));
    let block_index = pay(to, e8s, MINT, None).await.expect("there is enough");
    let argument = NotifyMintCyclesArg { block_index, to_subaccount: None, deposit_memo: None };
    let answer = Call::unbounded_wait(MAINNET_CYCLES_MINTING_CANISTER_ID, "notify_mint_cycles")
        .with_arg(argument)
        .await
        .expect("the minting canister answers");
    let minted: Result<Minted, NotifyError> = answer.candid().expect("as in cmc.did");
    minted.expect("the ICP was paid").balance
}

#[derive(CandidType)]
struct DepositArgs {
    to: Account,
    memo: Option<Vec<u8>>,
}

/// Puts cycles of this canister into its account in the cycles ledger; returns the account's balance.
#[ic_cdk::update]
async fn deposit(cycles: u128) -> Nat {
    let argument = DepositArgs { to: canister_self().into(), memo: None };
    let answer = Call::bounded_wait(CYCLES_LEDGER, "deposit").with_arg(argument).with_cycles(cycles).await;
    let deposited: Minted = answer.expect("the cycles ledger answers").candid().expect("as in cycles-ledger.did");
    deposited.balance
}

/// Lets somebody spend this canister's cycles; returns what the ledger says about it.
#[ic_cdk::update]
async fn approve(spender: Principal, amount: Nat) -> Nat {
    let argument = ApproveArgs {
        from_subaccount: None,
        spender: spender.into(),
        amount,
        expected_allowance: Some(Nat::from(0u8)),
        expires_at: Some(time() + 3_600_000_000_000),
        fee: None,
        memo: None,
        created_at_time: Some(time()),
    };
    let answer = Call::bounded_wait(CYCLES_LEDGER, "icrc2_approve").with_arg(argument).await.expect("it answers");
    let approved: Result<Nat, ApproveError> = answer.candid().expect("as in ICRC-2");
    approved.expect("it is valid");
    let argument = AllowanceArgs { account: canister_self().into(), spender: spender.into() };
    let answer = Call::bounded_wait(CYCLES_LEDGER, "icrc2_allowance").with_arg(argument).await.expect("it answers");
    let allowance: Allowance = answer.candid().expect("as in ICRC-2");
    allowance.allowance
}

/// Takes ICP that this canister was approved to take.
#[ic_cdk::update]
async fn collect(from: Principal, amount: Nat) -> Result<Nat, TransferFromError> {
    let argument = TransferFromArgs {
        spender_subaccount: None,
        from: from.into(),
        to: canister_self().into(),
        amount,
        fee: None,
        memo: None,
        created_at_time: None,
    };
    let answer = Call::bounded_wait(MAINNET_LEDGER_CANISTER_ID, "icrc2_transfer_from").with_arg(argument).await;
    answer.expect("it answers").candid().expect("as in ICRC-2")
}

/// Follows the cycles ledger's blocks by their hashes, as the crate computes them; returns how many there are.
#[ic_cdk::update]
async fn audit() -> Nat {
    let everything = vec![GetBlocksRequest { start: Nat::from(0u8), length: Nat::from(50u8) }];
    let answer = Call::bounded_wait(CYCLES_LEDGER, "icrc3_get_blocks").with_arg(everything).await.expect("it answers");
    let found: GetBlocksResult = answer.candid().expect("as in ICRC-3");
    let mut parent: Option<[u8; 32]> = None;
    for each in found.blocks {
        let ICRC3Value::Map(ref fields) = each.block else { ic_cdk::trap("a block is a map") };
        match (fields.get("phash"), parent) {
            (None, None) => {}
            (Some(ICRC3Value::Blob(hash)), Some(before)) if hash.as_slice() == before => {}
            other => ic_cdk::trap(format!("block {} does not follow: {other:?}", each.id)),
        }
        parent = Some(each.block.hash());
    }
    found.log_length
}

