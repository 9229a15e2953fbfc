//! ic-cdk 0.20: the story of shared/story_before_0_18.rs with the interface that ic-cdk has had since 0.18, its words in
//! stable memory by ic-stable-structures, and what came later: best-effort calls, costs, environment variables.
use candid::{CandidType, Deserialize, Principal};
use ic_cdk::api;
use ic_cdk::call::{Call, RejectCode};
use ic_cdk::*;
use ic_cdk_management_canister as management;
use ic_stable_structures::memory_manager::{MemoryId, MemoryManager, VirtualMemory};
use ic_stable_structures::{DefaultMemoryImpl, Memory, StableBTreeMap};
use std::cell::{Cell, RefCell};

type Words = StableBTreeMap<u64, String, VirtualMemory<DefaultMemoryImpl>>;

thread_local! {
    static MEMORIES: RefCell<MemoryManager<DefaultMemoryImpl>> =
        RefCell::new(MemoryManager::init(DefaultMemoryImpl::default()));
    static WORDS: RefCell<Words> = RefCell::new(StableBTreeMap::init(memory(0)));
    static BEATS: Cell<u64> = const { Cell::new(0) };
    static RINGS: Cell<u64> = const { Cell::new(0) };
    static INTERVAL: Cell<u64> = const { Cell::new(0) };
    static LOCKS: Cell<u64> = const { Cell::new(0) };
}

fn memory(id: u8) -> VirtualMemory<DefaultMemoryImpl> {
    MEMORIES.with_borrow(|memories| memories.get(MemoryId::new(id)))
}

fn say(word: &str) -> u64 {
    WORDS.with_borrow_mut(|words| {
        words.insert(words.len(), word.to_string());
        words.len()
    })
}

struct Lock;
impl Lock {
    fn take() -> Self {
        LOCKS.set(LOCKS.get() + 1);
        Lock
    }
}
impl Drop for Lock {
    fn drop(&mut self) {
        LOCKS.set(LOCKS.get() - 1);
    }
}

#[init]
fn init(greeting: String) {
    say(&greeting);
}

#[post_upgrade]
fn post_upgrade(word: String) {
    say(&word);
}

#[inspect_message]
fn inspect_message() {
    if api::msg_method_name() != "forbidden" {
        api::accept_message();
    }
}

#[update]
fn forbidden() {}

#[heartbeat]
fn heartbeat() {
    BEATS.set(BEATS.get() + 1);
}

#[update]
fn ring(seconds: u64) {
    INTERVAL.set(seconds * 1_000_000_000);
    api::global_timer_set(api::time() + INTERVAL.get());
}

#[export_name = "canister_global_timer"]
extern "C" fn global_timer() {
    RINGS.set(RINGS.get() + 1);
    api::global_timer_set(api::time() + INTERVAL.get());
}

#[query]
fn tasks() -> (u64, u64) {
    (BEATS.get(), RINGS.get())
}

#[update]
fn add(word: String) -> u64 {
    api::debug_print(format!("adding {word}"));
    say(&word)
}

#[query]
fn all() -> Vec<String> {
    WORDS.with_borrow(|words| words.values().collect())
}

#[query(composite = true)]
async fn all_of(peer: Principal) -> Vec<String> {
    Call::bounded_wait(peer, "all").await.expect("answered").candid().expect("words")
}

#[query]
fn whoami() -> (Principal, Principal) {
    (api::msg_caller(), api::canister_self())
}

#[update]
async fn add_at(peer: Principal, word: String) -> u64 {
    Call::bounded_wait(peer, "add").with_arg(word).change_timeout(10).await.expect("answered").candid().expect("size")
}

#[update]
fn add_later_at(peer: Principal, word: String) {
    Call::unbounded_wait(peer, "add").with_arg(word).oneway().expect("sent");
}

#[update]
fn deposit() -> u64 {
    api::msg_cycles_accept(api::msg_cycles_available() / 2) as u64
}

#[update]
async fn pay(peer: Principal, amount: u64) -> (u64, u64) {
    let reply = Call::unbounded_wait(peer, "deposit").with_cycles(amount.into()).await.expect("answered");
    (reply.candid().expect("taken"), api::msg_cycles_refunded() as u64)
}

#[query]
fn balance() -> u64 {
    api::canister_cycle_balance() as u64
}

#[update]
async fn fail_after(peer: Principal) {
    let _lock = Lock::take();
    say("before");
    Call::unbounded_wait(peer, "all").await.expect("answered");
    say("after");
    api::trap("as planned");
}

#[query]
fn locks() -> u64 {
    LOCKS.get()
}

#[update]
async fn failure_of(peer: Principal) -> (i32, String) {
    let failed = Call::unbounded_wait(peer, "fail_after").with_arg(api::canister_self()).await.expect_err("failed");
    let ic_cdk::call::CallFailed::CallRejected(rejected) = failed else { panic!("not sent") };
    assert_eq!(rejected.reject_code(), Ok(RejectCode::CanisterError));
    (rejected.raw_reject_code() as i32, rejected.reject_message().to_string())
}

#[update(manual_reply = true)]
fn refusing() {
    api::msg_reject("no, thanks");
}

#[update]
fn store(pages: u64, offset: u64, data: Vec<u8>) -> u64 {
    let before = memory(1).grow(pages);
    memory(1).write(offset, &data);
    before as u64
}

#[query]
fn load(offset: u64, size: u64) -> Vec<u8> {
    let mut data = vec![0; size as usize];
    memory(1).read(offset, &mut data);
    data
}

#[update]
fn certify(data: Vec<u8>) {
    api::certified_data_set(&data);
}

#[query]
fn certificate() -> Option<Vec<u8>> {
    api::data_certificate()
}

#[update]
async fn random() -> Vec<u8> {
    management::raw_rand().await.expect("answered")
}

#[update]
async fn spawn_child(module: Vec<u8>, cycles: u64) -> Principal {
    let arg = management::CreateCanisterArgs { settings: None };
    let extra = u128::from(cycles).saturating_sub(api::cost_create_canister());
    let created = management::create_canister_with_extra_cycles(&arg, extra).await.expect("created");
    management::install_code(&management::InstallCodeArgs {
        mode: management::CanisterInstallMode::Install,
        canister_id: created.canister_id,
        wasm_module: module,
        arg: candid::encode_one("hello from a child").expect("encoded"),
    })
    .await
    .expect("installed");
    created.canister_id
}

#[update]
async fn child_status(canister_id: Principal) -> (String, u64) {
    let status = management::canister_status(&management::CanisterStatusArgs { canister_id }).await.expect("answered");
    (format!("{:?}", status.status), u64::try_from(status.cycles.0).expect("fits"))
}

#[update]
async fn fund(canister_id: Principal, cycles: u64) {
    management::deposit_cycles(&management::DepositCyclesArgs { canister_id }, cycles.into()).await.expect("deposited");
}

#[update]
async fn retire(canister_id: Principal) {
    management::stop_canister(&management::StopCanisterArgs { canister_id }).await.expect("stopped");
    management::delete_canister(&management::DeleteCanisterArgs { canister_id }).await.expect("deleted");
}

#[update]
async fn snapshot_and_back(canister_id: Principal) -> u64 {
    let arg = management::TakeCanisterSnapshotArgs {
        canister_id,
        replace_snapshot: None,
        uninstall_code: None,
        sender_canister_version: None,
    };
    let taken = management::take_canister_snapshot(&arg).await.expect("taken");
    let listed = management::list_canister_snapshots(&management::ListCanisterSnapshotsArgs { canister_id }).await;
    assert_eq!(listed.expect("listed").len(), 1);
    let snapshot_id = taken.id.clone();
    management::stop_canister(&management::StopCanisterArgs { canister_id }).await.expect("stopped");
    management::load_canister_snapshot(&management::LoadCanisterSnapshotArgs { canister_id, snapshot_id })
        .await
        .expect("loaded");
    management::start_canister(&management::StartCanisterArgs { canister_id }).await.expect("started");
    taken.total_size
}

#[query]
fn variables() -> Vec<(String, String)> {
    let names = (0..api::env_var_count()).map(api::env_var_name);
    names.map(|name| (name.clone(), api::env_var_value(name))).collect()
}

#[update]
fn facts() -> (bool, bool, u64, u32) {
    let by_controller = api::is_controller(&api::msg_caller());
    (by_controller, api::in_replicated_execution(), api::canister_version(), api::subnet_self_node_count())
}

#[derive(CandidType)]
struct Outcall {
    request_bytes: u64,
    http_roundtrip_time_ms: u64,
    raw_response_bytes: u64,
    transformed_response_bytes: u64,
    transform_instructions: u64,
}

#[query]
fn outcall_costs() -> (u64, u64) {
    let usage = Outcall {
        request_bytes: 1_000,
        http_roundtrip_time_ms: 2_000,
        raw_response_bytes: 3_000,
        transformed_response_bytes: 2_000,
        transform_instructions: 1_000_000,
    };
    let params = candid::encode_one(usage).expect("encoded");
    (api::cost_http_request_v2(&params) as u64, api::cost_http_request(1_000, 3_000) as u64)
}

#[derive(CandidType, Deserialize)]
struct HttpRequest {
    method: String,
    url: String,
}

#[derive(CandidType)]
struct HttpResponse {
    status_code: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    upgrade: Option<bool>,
}

fn page(status_code: u16, body: String, upgrade: bool) -> HttpResponse {
    let headers = vec![("content-type".to_string(), "text/plain".to_string())];
    HttpResponse { status_code, headers, body: body.into_bytes(), upgrade: Some(upgrade) }
}

#[query]
fn http_request(request: HttpRequest) -> HttpResponse {
    page(200, all().join(","), request.method == "POST")
}

#[update]
fn http_request_update(request: HttpRequest) -> HttpResponse {
    page(201, format!("{} {}", say("posted"), request.url), false)
}
