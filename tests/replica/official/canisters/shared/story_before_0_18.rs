// What a canister asks of the IC, told with the interface that ic-cdk had before 0.18. `edition` holds what differs
// between those versions. cdk_0_20 offers the same methods.
use crate::edition;
use candid::{CandidType, Deserialize, Principal};
use ic_cdk::api::call::{call, call_with_payment128, msg_cycles_accept128, msg_cycles_available128, msg_cycles_refunded128};
use ic_cdk::api::management_canister::main as management;
use ic_cdk::*;
use std::cell::{Cell, RefCell};

#[derive(CandidType, Deserialize, Clone, Default)]
struct State {
    words: Vec<String>,
}

thread_local! {
    static STATE: RefCell<State> = RefCell::default();
    static BEATS: Cell<u64> = Cell::new(0);
    static RINGS: Cell<u64> = Cell::new(0);
    static LOCKS: Cell<u64> = Cell::new(0);
}

fn say(word: &str) -> u64 {
    STATE.with(|state| {
        let words = &mut state.borrow_mut().words;
        words.push(word.to_string());
        words.len() as u64
    })
}

// A lock that its Drop gives back, as canisters guard themselves over an await.
struct Lock;
impl Lock {
    fn take() -> Self {
        LOCKS.with(|locks| locks.set(locks.get() + 1));
        Lock
    }
}
impl Drop for Lock {
    fn drop(&mut self) {
        LOCKS.with(|locks| locks.set(locks.get() - 1));
    }
}

#[init]
fn init(greeting: String) {
    say(&greeting);
}

#[pre_upgrade]
fn pre_upgrade() {
    let state = STATE.with(|state| state.borrow().clone());
    storage::stable_save((state,)).expect("saved");
}

#[post_upgrade]
fn post_upgrade(word: String) {
    let (state,): (State,) = storage::stable_restore().expect("restored");
    STATE.with(|old| *old.borrow_mut() = state);
    say(&word);
}

#[inspect_message]
fn inspect_message() {
    if api::call::method_name() != "forbidden" {
        api::call::accept_message();
    }
}

#[update]
fn forbidden() {}

#[heartbeat]
fn heartbeat() {
    BEATS.with(|beats| beats.set(beats.get() + 1));
}

#[update]
fn ring(seconds: u64) {
    edition::every(seconds, || RINGS.with(|rings| rings.set(rings.get() + 1)));
}

#[query]
fn tasks() -> (u64, u64) {
    (BEATS.with(|beats| beats.get()), RINGS.with(|rings| rings.get()))
}

#[update]
fn add(word: String) -> u64 {
    print(format!("adding {word}"));
    say(&word)
}

#[query]
fn all() -> Vec<String> {
    STATE.with(|state| state.borrow().words.clone())
}

#[query(composite = true)]
async fn all_of(peer: Principal) -> Vec<String> {
    let (words,): (Vec<String>,) = call(peer, "all", ()).await.expect("answered");
    words
}

#[query]
fn whoami() -> (Principal, Principal) {
    (caller(), id())
}

#[update]
async fn add_at(peer: Principal, word: String) -> u64 {
    let (size,): (u64,) = call(peer, "add", (word,)).await.expect("answered");
    size
}

#[update]
fn add_later_at(peer: Principal, word: String) {
    notify(peer, "add", (word,)).expect("sent");
}

#[update]
fn deposit() -> u64 {
    msg_cycles_accept128(msg_cycles_available128() / 2) as u64
}

#[update]
async fn pay(peer: Principal, amount: u64) -> (u64, u64) {
    let (taken,): (u64,) = call_with_payment128(peer, "deposit", (), amount.into()).await.expect("answered");
    (taken, msg_cycles_refunded128() as u64)
}

#[query]
fn balance() -> u64 {
    api::canister_balance128() as u64
}

#[update]
async fn fail_after(peer: Principal) {
    let _lock = Lock::take();
    say("before");
    let (_,): (Vec<String>,) = call(peer, "all", ()).await.expect("answered");
    say("after");
    trap("as planned");
}

#[query]
fn locks() -> u64 {
    LOCKS.with(|locks| locks.get())
}

#[update]
async fn failure_of(peer: Principal) -> (i32, String) {
    let done: Result<(), _> = call(peer, "fail_after", (id(),)).await;
    let (code, message) = done.expect_err("failed");
    (code as i32, message)
}

#[update(manual_reply = true)]
fn refusing() {
    api::call::reject("no, thanks");
}

#[update]
fn store(pages: u64, offset: u64, data: Vec<u8>) -> u64 {
    let before = edition::stable_grow(pages);
    edition::stable_write(offset, &data);
    before
}

#[query]
fn load(offset: u64, size: u64) -> Vec<u8> {
    let mut data = vec![0; size as usize];
    edition::stable_read(offset, &mut data);
    data
}

#[update]
fn certify(data: Vec<u8>) {
    api::set_certified_data(&data);
}

#[query]
fn certificate() -> Option<Vec<u8>> {
    api::data_certificate()
}

#[update]
async fn random() -> Vec<u8> {
    management::raw_rand().await.expect("answered").0
}

#[update]
async fn spawn_child(module: Vec<u8>, cycles: u64) -> Principal {
    let canister_id = edition::create(cycles.into()).await;
    let arg = candid::encode_one("hello from a child").expect("encoded");
    edition::install(canister_id, module, arg).await;
    canister_id
}

#[update]
async fn child_status(canister_id: Principal) -> (String, u64) {
    let (status,) = management::canister_status(edition::of(canister_id)).await.expect("answered");
    (format!("{:?}", status.status), u64::try_from(status.cycles.0).expect("fits"))
}

#[update]
async fn fund(canister_id: Principal, cycles: u64) {
    management::deposit_cycles(edition::of(canister_id), cycles.into()).await.expect("deposited");
}

#[update]
async fn retire(canister_id: Principal) {
    management::stop_canister(edition::of(canister_id)).await.expect("stopped");
    management::delete_canister(edition::of(canister_id)).await.expect("deleted");
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
