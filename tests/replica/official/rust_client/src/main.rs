//! What ic-agent and ic-utils, the official Rust agent and its builders, do with a replica, verified.
//! Arguments: URL, root key (hex), subnet id, canister id of a greeter, its module.
use candid::{CandidType, Decode, Encode, Nat, Principal};
use ic_agent::agent::RejectCode;
use ic_agent::identity::{AnonymousIdentity, BasicIdentity};
use ic_agent::{Agent, AgentError, Identity};
use ic_management_canister_types::{
    CanisterInstallMode, CanisterLogFilter, ChunkHash, DeleteCanisterSnapshotArgs, FetchCanisterLogsArgs,
    LoadCanisterSnapshotArgs, LogVisibility, ProvisionalTopUpCanisterArgs, ReadCanisterSnapshotDataArgs,
    ReadCanisterSnapshotMetadataArgs, SnapshotDataKind, SnapshotDataOffset, TakeCanisterSnapshotArgs,
    UploadCanisterSnapshotDataArgs, UploadCanisterSnapshotMetadataArgs, UploadChunkArgs,
};
use ic_utils::call::{AsyncCall, SyncCall};
use ic_utils::interfaces::ManagementCanister;
use ic_utils::Canister;

type Outcome = Result<(), Box<dyn std::error::Error>>;

struct World {
    url: String,
    root_key: Vec<u8>,
    subnet: Principal,
    greeter: Principal,
    module: Vec<u8>,
}

impl World {
    fn agent(&self, identity: impl Identity + 'static) -> Agent {
        let agent = Agent::builder()
            .with_url(&self.url)
            .with_identity(identity)
            .with_verify_query_signatures(true)
            .build()
            .expect("an agent");
        agent.set_root_key(self.root_key.clone());
        agent
    }
}

fn argument(value: impl CandidType) -> Vec<u8> {
    Encode!(&value).expect("encoded")
}

async fn calls(world: &World, agent: &Agent) -> Outcome {
    let fetched = Agent::builder().with_url(&world.url).build()?;
    fetched.fetch_root_key().await?;
    assert_eq!(fetched.read_root_key(), world.root_key);
    assert_eq!(agent.status().await?.replica_health_status.as_deref(), Some("healthy"));

    let anonymous = world.agent(AnonymousIdentity);
    for user in [agent, &anonymous] {
        let principal = user.get_principal()?;
        let queried =
            user.query(&world.greeter, "whoami").with_arg(Encode!()?).call_with_verification().await?;
        assert_eq!(Decode!(&queried, Principal)?, principal);
        let called = user.update(&world.greeter, "whoami").with_arg(Encode!()?).call_and_wait().await?;
        assert_eq!(Decode!(&called, Principal)?, principal);
    }

    let signed = agent.update(&world.greeter, "count").with_arg(Encode!()?).sign()?;
    agent.update_signed(world.greeter, signed.signed_update.clone()).await?;
    let (reply, _) = agent.wait(&signed.request_id, world.greeter).await?;
    assert!(Decode!(&reply, Nat)? > 0u8);

    let greeter = Canister::builder().with_agent(agent).with_canister_id(world.greeter).build()?;
    let (greeting,): (String,) = greeter.query("greet").with_arg("you").build().call().await?;
    assert_eq!(greeting, "Hello, you!");
    let counting = (0..20).map(|_| {
        let (agent, greeter) = (agent.clone(), world.greeter);
        tokio::spawn(
            async move { agent.update(&greeter, "count").with_arg(b"DIDL\0\0").call_and_wait().await },
        )
    });
    let mut counts = Vec::new();
    for count in counting.collect::<Vec<_>>() {
        counts.push(Decode!(&count.await??, Nat)?);
    }
    counts.sort();
    counts.dedup();
    assert_eq!(counts.len(), 20);
    Ok(())
}

async fn rejects(world: &World, agent: &Agent) -> Outcome {
    let trapped = agent.update(&world.greeter, "fail").with_arg(argument("why")).call_and_wait().await;
    match trapped {
        Err(AgentError::CertifiedReject { reject, .. }) => {
            assert_eq!(
                (reject.reject_code, reject.error_code.as_deref()),
                (RejectCode::CanisterError, Some("IC0503"))
            )
        }
        other => panic!("{other:?}"),
    }
    match agent.query(&world.greeter, "missing").with_arg(Encode!()?).call().await {
        Err(AgentError::UncertifiedReject { reject, .. }) => {
            assert_eq!(reject.error_code.as_deref(), Some("IC0536"))
        }
        other => panic!("{other:?}"),
    }
    let mut wrong = world.root_key.clone();
    *wrong.last_mut().expect("a key") ^= 1;
    let agent = world.agent(AnonymousIdentity);
    agent.set_root_key(wrong);
    assert!(agent.update(&world.greeter, "count").with_arg(Encode!()?).call_and_wait().await.is_err());
    Ok(())
}

async fn state(world: &World, agent: &Agent) -> Outcome {
    assert_eq!(agent.read_state_canister_module_hash(world.greeter).await?.len(), 32);
    assert_eq!(agent.read_state_canister_controllers(world.greeter).await?.len(), 1);
    let candid = agent.read_state_canister_metadata(world.greeter, "candid:service").await?;
    assert!(String::from_utf8(candid)?.contains("greet"));
    assert!(agent.read_state_canister_metadata(world.greeter, "absent").await.is_err());
    let metrics = agent.read_state_subnet_metrics(world.subnet).await?;
    assert!(metrics.num_canisters > 0 && metrics.canister_state_bytes > 0);
    let holds = |(low, high): &(Principal, Principal)| *low <= world.greeter && world.greeter <= *high;
    assert!(agent.read_state_subnet_canister_ranges(world.subnet).await?.iter().any(holds));
    for subnet in [
        agent.fetch_subnet_by_canister(&world.greeter).await?,
        agent.fetch_subnet_by_id(&world.subnet).await?,
    ] {
        assert_eq!((subnet.id(), subnet.iter_nodes().count()), (world.subnet, 1));
        assert_eq!(subnet.self_reported_key(), world.root_key);
        assert!(subnet.contains_canister(&world.greeter));
    }
    agent.fetch_api_boundary_nodes_by_subnet_id(world.subnet).await?;
    Ok(())
}

async fn lifecycle(world: &World, agent: &Agent) -> Outcome {
    let management = ManagementCanister::create(agent);
    let (id,) = management
        .create_canister()
        .as_provisional_create_with_amount(Some(10_000_000_000_000))
        .with_effective_canister_id(world.greeter)
        .with_controller(agent.get_principal()?)
        .with_freezing_threshold(1_000u64)
        .with_log_visibility(LogVisibility::Public)
        .build()?
        .call_and_wait()
        .await?;
    management.install_code(&id, &world.module).with_arg("Hi").build()?.call_and_wait().await?;
    management
        .update_settings(&id)
        .with_memory_allocation(16_777_216u64)
        .with_wasm_memory_limit(1_073_741_824u64)
        .build()?
        .call_and_wait()
        .await?;
    management
        .provisional_top_up_canister(
            &id,
            &ProvisionalTopUpCanisterArgs { canister_id: id, amount: 1_000_000u32.into() },
        )
        .call_and_wait()
        .await?;
    let (queried,) = management.canister_status(&id).call().await?;
    let (status,) = management.canister_status(&id).as_update().call().await?;
    assert_eq!(status.settings.memory_allocation, 16_777_216u32);
    assert_eq!(
        (queried.module_hash, queried.settings.controllers),
        (status.module_hash, status.settings.controllers)
    );
    management.canister_metrics(&id).call().await?;
    management.canister_metrics(&id).as_update().call().await?;

    let greeter = Canister::builder().with_agent(agent).with_canister_id(id).build()?;
    for expected in 1u8..3 {
        let (count,): (Nat,) = greeter.update("count").build().call_and_wait().await?;
        assert_eq!(count, expected);
    }
    let filter = Some(CanisterLogFilter::ByIdx { start: 1, end: u64::MAX });
    for (filter, lines) in [(None, 2), (filter, 1)] {
        let (logs,) =
            management.fetch_canister_logs(&FetchCanisterLogsArgs { canister_id: id, filter }).call().await?;
        assert_eq!(logs.canister_log_records.len(), lines);
    }
    snapshots(&management, id).await?;

    let mut hashes: Vec<ChunkHash> = Vec::new();
    for chunk in world.module.chunks(100_000) {
        let (hash,) = management
            .upload_chunk(&id, &UploadChunkArgs { canister_id: id, chunk: chunk.to_vec() })
            .call_and_wait()
            .await?;
        hashes.push(hash);
    }
    let (stored,) = management.stored_chunks(&id).call_and_wait().await?;
    assert_eq!(stored.len(), hashes.len());
    let (status,) = management.canister_status(&id).call().await?;
    management
        .install_chunked_code(&id, &status.module_hash.expect("a module"))
        .with_chunk_hashes(hashes)
        .with_arg("Hi again")
        .with_install_mode(CanisterInstallMode::Reinstall)
        .build()?
        .call_and_wait()
        .await?;
    management.clear_chunk_store(&id).call_and_wait().await?;
    management.install(&id, &world.module).with_arg("Hi").with_mode(CanisterInstallMode::Reinstall).await?;
    management.uninstall_code(&id).call_and_wait().await?;
    management.stop_canister(&id).call_and_wait().await?;
    management.start_canister(&id).call_and_wait().await?;
    management.stop_canister(&id).call_and_wait().await?;
    management.delete_canister(&id).call_and_wait().await?;
    assert!(management.canister_status(&id).as_update().call().await.is_err());
    Ok(())
}

/// A snapshot is taken, copied piece by piece into another one, and both are loaded.
async fn snapshots(management: &ManagementCanister<'_>, canister_id: Principal) -> Outcome {
    let (taken,) = management
        .take_canister_snapshot(&TakeCanisterSnapshotArgs {
            canister_id,
            replace_snapshot: None,
            uninstall_code: None,
            sender_canister_version: None,
        })
        .call_and_wait()
        .await?;
    let snapshot_id = taken.id;
    let (metadata,) = management
        .read_canister_snapshot_metadata(&ReadCanisterSnapshotMetadataArgs {
            canister_id,
            snapshot_id: snapshot_id.clone(),
        })
        .call_and_wait()
        .await?;
    let (copy,) = management
        .upload_canister_snapshot_metadata(&UploadCanisterSnapshotMetadataArgs {
            canister_id,
            replace_snapshot: None,
            wasm_module_size: metadata.wasm_module_size,
            globals: metadata.globals.into_iter().flatten().collect(),
            wasm_memory_size: metadata.wasm_memory_size,
            stable_memory_size: metadata.stable_memory_size,
            certified_data: metadata.certified_data,
            global_timer: metadata.global_timer,
            on_low_wasm_memory_hook_status: metadata.on_low_wasm_memory_hook_status,
        })
        .call_and_wait()
        .await?;
    type From = fn(u64, u64) -> SnapshotDataKind;
    type To = fn(u64) -> SnapshotDataOffset;
    let parts: [(u64, From, To); 3] = [
        (
            metadata.wasm_module_size,
            |offset, size| SnapshotDataKind::WasmModule { offset, size },
            |offset| SnapshotDataOffset::WasmModule { offset },
        ),
        (
            metadata.wasm_memory_size,
            |offset, size| SnapshotDataKind::WasmMemory { offset, size },
            |offset| SnapshotDataOffset::WasmMemory { offset },
        ),
        (
            metadata.stable_memory_size,
            |offset, size| SnapshotDataKind::StableMemory { offset, size },
            |offset| SnapshotDataOffset::StableMemory { offset },
        ),
    ];
    for (total, from, to) in parts {
        for offset in (0..total).step_by(1_900_000) {
            let kind = from(offset, (total - offset).min(1_900_000));
            let (data,) = management
                .read_canister_snapshot_data(&ReadCanisterSnapshotDataArgs {
                    canister_id,
                    snapshot_id: snapshot_id.clone(),
                    kind,
                })
                .call_and_wait()
                .await?;
            let (snapshot_id, kind) = (copy.snapshot_id.clone(), to(offset));
            management
                .upload_canister_snapshot_data(&UploadCanisterSnapshotDataArgs {
                    canister_id,
                    snapshot_id,
                    kind,
                    chunk: data.chunk,
                })
                .call_and_wait()
                .await?;
        }
    }
    let (listed,) = management.list_canister_snapshots(&canister_id).call_and_wait().await?;
    assert_eq!(listed.len(), 2);
    for snapshot_id in [snapshot_id, copy.snapshot_id] {
        management
            .load_canister_snapshot(&LoadCanisterSnapshotArgs {
                canister_id,
                snapshot_id: snapshot_id.clone(),
                sender_canister_version: None,
            })
            .call_and_wait()
            .await?;
        management
            .delete_canister_snapshot(&DeleteCanisterSnapshotArgs { canister_id, snapshot_id })
            .call_and_wait()
            .await?;
    }
    Ok(())
}

fn unhexed(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).expect("hex")).collect()
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Outcome {
    let given: Vec<String> = std::env::args().skip(1).collect();
    let world = World {
        url: given[0].clone(),
        root_key: unhexed(&given[1]),
        subnet: Principal::from_text(&given[2])?,
        greeter: Principal::from_text(&given[3])?,
        module: std::fs::read(&given[4])?,
    };
    let agent = world.agent(BasicIdentity::from_raw_key(&[7; 32]));
    calls(&world, &agent).await?;
    rejects(&world, &agent).await?;
    state(&world, &agent).await?;
    lifecycle(&world, &agent).await?;
    println!("nothing wrong");
    Ok(())
}
