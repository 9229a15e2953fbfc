//! Interface Specification, "Overview of imports": all of it, with 32-bit pointers.

macro_rules! system_api {
    ($($name:ident($($parameter:ident: $type:ty),*) $(-> $result:ty)?;)*) => {
        #[link(wasm_import_module = "ic0")]
        extern "C" {
            $(fn $name($($parameter: $type),*) $(-> $result)?;)*
        }

        /// How many parameters a function has; None if there is no such function.
        pub fn parameters(name: &str) -> Option<usize> {
            match name {
                $(stringify!($name) => Some(<[&str]>::len(&[$(stringify!($parameter)),*])),)*
                _ => None,
            }
        }

        /// Calls a function with as many arguments as it has parameters.
        #[allow(clippy::unnecessary_cast)]
        pub fn call(name: &str, arguments: &[u64]) -> Option<u64> {
            match (name, arguments) {
                $((stringify!($name), &[$($parameter),*]) => {
                    // The System API checks every address itself.
                    unsafe { $name($($parameter as $type),*) }.number()
                })*
                _ => unreachable!(),
            }
        }
    };
}

system_api! {
    msg_arg_data_size() -> u32;
    msg_arg_data_copy(dst: u32, offset: u32, size: u32);
    msg_caller_size() -> u32;
    msg_caller_copy(dst: u32, offset: u32, size: u32);
    msg_caller_info_data_size() -> u32;
    msg_caller_info_data_copy(dst: u32, offset: u32, size: u32);
    msg_caller_info_signer_size() -> u32;
    msg_caller_info_signer_copy(dst: u32, offset: u32, size: u32);
    msg_reject_code() -> u32;
    msg_reject_msg_size() -> u32;
    msg_reject_msg_copy(dst: u32, offset: u32, size: u32);
    msg_deadline() -> u64;
    msg_reply_data_append(src: u32, size: u32);
    msg_reply();
    msg_reject(src: u32, size: u32);
    msg_cycles_available() -> u64;
    msg_cycles_available128(dst: u32);
    msg_cycles_refunded() -> u64;
    msg_cycles_refunded128(dst: u32);
    msg_cycles_accept(max_amount: u64) -> u64;
    msg_cycles_accept128(max_amount_high: u64, max_amount_low: u64, dst: u32);
    cycles_burn128(amount_high: u64, amount_low: u64, dst: u32);
    canister_self_size() -> u32;
    canister_self_copy(dst: u32, offset: u32, size: u32);
    canister_cycle_balance() -> u64;
    canister_cycle_balance128(dst: u32);
    canister_liquid_cycle_balance128(dst: u32);
    canister_status() -> u32;
    canister_version() -> u64;
    subnet_self_size() -> u32;
    subnet_self_copy(dst: u32, offset: u32, size: u32);
    msg_method_name_size() -> u32;
    msg_method_name_copy(dst: u32, offset: u32, size: u32);
    accept_message();
    call_new(
        callee_src: u32, callee_size: u32, name_src: u32, name_size: u32,
        reply_fun: u32, reply_env: u32, reject_fun: u32, reject_env: u32
    );
    call_on_cleanup(fun: u32, env: u32);
    call_data_append(src: u32, size: u32);
    call_with_best_effort_response(timeout_seconds: u32);
    call_cycles_add(amount: u64);
    call_cycles_add128(amount_high: u64, amount_low: u64);
    call_perform() -> u32;
    stable_size() -> u32;
    stable_grow(new_pages: u32) -> u32;
    stable_write(offset: u32, src: u32, size: u32);
    stable_read(dst: u32, offset: u32, size: u32);
    stable64_size() -> u64;
    stable64_grow(new_pages: u64) -> u64;
    stable64_write(offset: u64, src: u64, size: u64);
    stable64_read(dst: u64, offset: u64, size: u64);
    root_key_size() -> u32;
    root_key_copy(dst: u32, offset: u32, size: u32);
    certified_data_set(src: u32, size: u32);
    data_certificate_present() -> u32;
    data_certificate_size() -> u32;
    data_certificate_copy(dst: u32, offset: u32, size: u32);
    time() -> u64;
    global_timer_set(timestamp: u64) -> u64;
    performance_counter(counter_type: u32) -> u64;
    is_controller(src: u32, size: u32) -> u32;
    in_replicated_execution() -> u32;
    cost_call(method_name_size: u64, payload_size: u64, dst: u32);
    cost_create_canister(dst: u32);
    cost_http_request(request_size: u64, max_res_bytes: u64, dst: u32);
    cost_sign_with_ecdsa(src: u32, size: u32, ecdsa_curve: u32, dst: u32) -> u32;
    cost_sign_with_schnorr(src: u32, size: u32, algorithm: u32, dst: u32) -> u32;
    cost_vetkd_derive_key(src: u32, size: u32, vetkd_curve: u32, dst: u32) -> u32;
    env_var_count() -> u32;
    env_var_name_size(index: u32) -> u32;
    env_var_name_copy(index: u32, dst: u32, offset: u32, size: u32);
    env_var_name_exists(name_src: u32, name_size: u32) -> u32;
    env_var_value_size(name_src: u32, name_size: u32) -> u32;
    env_var_value_copy(name_src: u32, name_size: u32, dst: u32, offset: u32, size: u32);
    debug_print(src: u32, size: u32);
    trap(src: u32, size: u32);
}

/// What a function gives back, as a number if it gives anything.
trait Outcome {
    fn number(self) -> Option<u64>;
}

impl Outcome for () {
    fn number(self) -> Option<u64> {
        None
    }
}

impl Outcome for u32 {
    fn number(self) -> Option<u64> {
        Some(self.into())
    }
}

impl Outcome for u64 {
    fn number(self) -> Option<u64> {
        Some(self)
    }
}

/// All of what `<name>_size` and `<name>_copy` give; `leading` are their arguments before the address.
pub fn blob(name: &str, leading: &[u64]) -> Vec<u8> {
    let size = call(&format!("{name}_size"), leading).unwrap_or(0);
    let mut bytes = vec![0; size as usize];
    let arguments = [leading, &[address(&bytes), 0, size]].concat();
    call(&format!("{name}_copy"), &arguments);
    // The host wrote to it behind the compiler's back.
    std::hint::black_box(&mut bytes);
    bytes
}

/// Where bytes lie in the heap.
pub fn address(bytes: &[u8]) -> u64 {
    bytes.as_ptr().expose_provenance() as u64
}

/// Ends the execution with a message.
pub fn trap_with(message: &str) -> ! {
    unsafe { trap(message.as_ptr() as u32, message.len() as u32) };
    unreachable!()
}
