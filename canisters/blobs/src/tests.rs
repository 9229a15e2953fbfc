use super::*;
use ic_stable_structures::VectorMemory;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;
use storage::digest::sha256;
use types::limits::{MAX_UPLOADS, UPLOAD_EXPIRES, UPLOAD_YIELDS};
use types::{OpenUpload, Quotas, UploadStatus};

fn open(memory: &VectorMemory) -> Blobs<VectorMemory> {
    Blobs::init(&memory::manager(memory.clone(), 16))
}

/// Three sizes that matter: empty, one chunk, several chunks with a short last one.
static SAMPLES: LazyLock<Vec<(Digest, Vec<u8>)>> = LazyLock::new(|| {
    [0, 7, 2 * CHUNK_SIZE + 5]
        .into_iter()
        .enumerate()
        .map(|(seed, length)| {
            let bytes: Vec<u8> =
                (0..length).map(|at| (at.wrapping_mul(2_654_435_761) >> 7) as u8 ^ seed as u8).collect();
            (sha256(&bytes), bytes)
        })
        .collect()
});

fn chunks(bytes: &[u8]) -> Vec<&[u8]> {
    bytes.chunks(CHUNK_SIZE as usize).collect()
}

fn description(bytes: &[u8]) -> Blob {
    let digests: Vec<u8> = chunks(bytes).iter().flat_map(|chunk| sha256(chunk)).collect();
    Blob {
        sha256: ByteBuf::from(sha256(bytes)),
        length: bytes.len() as u64,
        chunk_digests: ByteBuf::from(digests),
    }
}

fn upload(blobs: &mut Blobs<VectorMemory>, capsule: &str, bytes: &[u8]) -> Digest {
    let sha = sha256(bytes);
    blobs.begin_upload(capsule, &sha, bytes.len() as u64, &Quotas::HUB, 0).unwrap();
    for (index, chunk) in chunks(bytes).into_iter().enumerate() {
        blobs.put_chunk(capsule, &sha, index as u32, chunk, 0).unwrap();
    }
    assert!(blobs.finish_upload(capsule, &sha).unwrap().complete);
    sha
}

#[test]
fn chunks_may_come_in_any_order_and_again() {
    let (sha, bytes) = &SAMPLES[2];
    let mut blobs = open(&VectorMemory::default());
    blobs.begin_upload("a", sha, bytes.len() as u64, &Quotas::HUB, 0).unwrap();
    for index in [2, 0, 2, 1, 0] {
        blobs.put_chunk("a", sha, index, chunks(bytes)[index as usize], 0).unwrap();
    }
    assert!(blobs.finish_upload("a", sha).unwrap().complete);
    blobs.put_chunk("a", sha, 1, chunks(bytes)[1], 0).unwrap();
    assert_eq!(blobs.blob(sha), Some(description(bytes)));
    assert_eq!(blobs.read(sha, 0, u64::MAX).as_deref(), Some(&bytes[..]));
    assert_eq!(blobs.read(sha, CHUNK_SIZE - 2, 4).as_deref(), Some(&bytes[CHUNK_SIZE as usize - 2..][..4]));
    assert_eq!(blobs.read_chunk(sha, 2).as_deref(), Some(chunks(bytes)[2]));
    assert_eq!(blobs.read_chunk(sha, 3), None);
}

#[test]
fn other_bytes_under_the_same_index_replace_nothing() {
    let (sha, bytes) = &SAMPLES[2];
    let mut blobs = open(&VectorMemory::default());
    blobs.begin_upload("a", sha, bytes.len() as u64, &Quotas::HUB, 0).unwrap();
    blobs.put_chunk("a", sha, 2, b"right", 0).unwrap();
    assert!(matches!(blobs.put_chunk("a", sha, 2, b"wrong", 0), Err(Error::Conflict(_))));
    assert!(matches!(blobs.put_chunk("a", sha, 2, b"longer than it is", 0), Err(Error::Invalid(_))));
    assert!(matches!(blobs.put_chunk("a", sha, 3, b"", 0), Err(Error::Invalid(_))));
    assert!(matches!(blobs.finish_upload("a", sha), Err(Error::Conflict(_))));
}

#[test]
fn a_wrong_hash_drops_the_upload_and_frees_its_bytes() {
    for (_, bytes) in SAMPLES.iter() {
        let mut blobs = open(&VectorMemory::default());
        let sha = [9; 32];
        blobs.begin_upload("a", &sha, bytes.len() as u64, &Quotas::HUB, 0).unwrap();
        for (index, chunk) in chunks(bytes).into_iter().enumerate() {
            blobs.put_chunk("a", &sha, index as u32, chunk, 0).unwrap();
        }
        assert!(matches!(blobs.finish_upload("a", &sha), Err(Error::DigestMismatch(_))));
        assert!(matches!(blobs.upload_status("a", &sha), Err(Error::NotFound(_))));
        assert_eq!(blobs.extents.count(), 0);
    }
}

#[test]
fn knowing_a_hash_tells_nothing_about_the_blobs_of_others() {
    let (sha, bytes) = &SAMPLES[2];
    let mut blobs = open(&VectorMemory::default());
    upload(&mut blobs, "a", bytes);
    let status = blobs.begin_upload("b", sha, bytes.len() as u64, &Quotas::HUB, 0).unwrap();
    assert_eq!((status.received.into_vec(), status.complete), (vec![0], false));
    blobs.put_chunk("b", sha, 2, b"wrong", 0).unwrap();
    assert!(!blobs.has("b", sha));
    assert!(matches!(blobs.attach("b", sha, bytes.len() as u64), Err(Error::NotFound(_))));
    blobs.abort_upload("b", sha);
    upload(&mut blobs, "b", bytes);
    assert_eq!(blobs.extents.count(), 3);
}

fn open_uploads(blobs: &Blobs<VectorMemory>, capsule: &str) -> Vec<OpenUpload> {
    blobs.list_uploads(capsule, None, MAX_PAGE).items
}

#[test]
fn what_was_begun_counts_with_its_whole_length_until_it_is_given_up() {
    let mut blobs = open(&VectorMemory::default());
    let quotas = Quotas { blob_bytes: 100, open_upload_bytes: 80, ..Quotas::HUB };
    let mut begin = |sha: u8, length| blobs.begin_upload("a", &[sha; 32], length, &quotas, 0);
    assert!(matches!(begin(1, 81), Err(Error::OutOfStorage(_))));
    begin(1, 50).unwrap();
    assert!(matches!(begin(2, 31), Err(Error::OutOfStorage(_))));
    begin(2, 30).unwrap();
    begin(1, 50).unwrap();
    blobs.abort_upload("a", &[1; 32]);
    blobs.abort_upload("a", &[2; 32]);
    let sha = upload(&mut blobs, "a", &[7; 60]);
    blobs.attach("a", &sha, 60).unwrap();
    let mut begin = |sha: u8, length| blobs.begin_upload("a", &[sha; 32], length, &quotas, 0);
    assert!(matches!(begin(3, 41), Err(Error::OutOfStorage(_))));
    begin(3, 40).unwrap();
}

#[test]
fn an_upload_without_a_chunk_for_seven_days_makes_room_and_frees_its_bytes() {
    let (sha, bytes) = &SAMPLES[2];
    let mut blobs = open(&VectorMemory::default());
    blobs.begin_upload("a", sha, bytes.len() as u64, &Quotas::HUB, 0).unwrap();
    blobs.put_chunk("a", sha, 1, chunks(bytes)[1], 1_000).unwrap();
    assert_eq!(open_uploads(&blobs, "a")[0].expires_at, 1_000 + UPLOAD_EXPIRES);
    blobs.begin_upload("a", &[1; 32], 1, &Quotas::HUB, 1_000 + UPLOAD_EXPIRES).unwrap();
    assert_eq!(open_uploads(&blobs, "a").len(), 2);
    blobs.begin_upload("a", &[2; 32], 1, &Quotas::HUB, 1_001 + UPLOAD_EXPIRES).unwrap();
    let left: Vec<ByteBuf> = open_uploads(&blobs, "a").into_iter().map(|open| open.sha256).collect();
    assert_eq!(left, [ByteBuf::from([1; 32]), ByteBuf::from([2; 32])]);
    assert_eq!(blobs.extents.count(), 0);
}

#[test]
fn one_upload_too_many_takes_the_place_of_the_oldest_unfinished_one_that_is_older_than_an_hour() {
    let mut blobs = open(&VectorMemory::default());
    upload(&mut blobs, "a", b"finished and the oldest of all");
    for number in 1..MAX_UPLOADS {
        let sha = sha256(&number.to_le_bytes());
        blobs.begin_upload("a", &sha, 10, &Quotas::HUB, u64::from(number)).unwrap();
    }
    let mut begin = |sha: u8, at| blobs.begin_upload("a", &[sha; 32], 10, &Quotas::HUB, at);
    let refused = begin(1, UPLOAD_YIELDS + 1);
    assert!(matches!(refused, Err(Error::Conflict(told)) if told.contains("uploads_list")));
    begin(1, UPLOAD_YIELDS + 2).unwrap();
    assert!(matches!(begin(2, UPLOAD_YIELDS + 2), Err(Error::Conflict(_))));
    assert!(matches!(blobs.upload_status("a", &sha256(&1u32.to_le_bytes())), Err(Error::NotFound(_))));
    assert_eq!(open_uploads(&blobs, "a").len() as u32, MAX_UPLOADS);
}

#[test]
fn uploads_of_a_version_that_kept_no_time_are_still_read() {
    use ic_stable_structures::Storable;
    let now = Upload {
        content: 1,
        length: 2,
        received: 3,
        hashed: 4,
        finished: true,
        touched_at: 5,
        state: vec![6; 7],
    };
    assert_eq!(Upload::from_bytes(now.to_bytes()), now);
    let mut bytes = now.to_bytes().into_owned();
    bytes.drain(25..33);
    bytes[24] = 1;
    assert_eq!(Upload::from_bytes(bytes.into()), Upload { touched_at: 0, ..now });
}

#[test]
fn uploads_that_nothing_refers_to_are_bounded() {
    let mut blobs = open(&VectorMemory::default());
    for number in 0..u64::from(MAX_UPLOADS) {
        upload(&mut blobs, "a", &number.to_le_bytes());
    }
    assert!(matches!(blobs.begin_upload("a", &[1; 32], 1, &Quotas::HUB, 0), Err(Error::Conflict(_))));
    blobs.attach("a", &sha256(&0u64.to_le_bytes()), 8).unwrap();
    blobs.begin_upload("a", &[1; 32], 1, &Quotas::HUB, 0).unwrap();
    blobs.begin_upload("b", &[1; 32], 1, &Quotas::HUB, 0).unwrap();
}

#[test]
fn the_last_reference_frees_the_blob() {
    let (_, bytes) = &SAMPLES[1];
    let mut blobs = open(&VectorMemory::default());
    for capsule in ["a", "b"] {
        let sha = upload(&mut blobs, capsule, bytes);
        blobs.attach(capsule, &sha, 7).unwrap();
        blobs.attach(capsule, &sha, 7).unwrap();
        assert_eq!(blobs.totals(capsule), Totals { blobs: 1, bytes: 7, chunks: 1 });
    }
    let sha = sha256(bytes);
    blobs.detach("a", &sha);
    assert!(blobs.has("a", &sha));
    blobs.detach("a", &sha);
    assert!(!blobs.has("a", &sha) && blobs.has("b", &sha));
    assert_eq!(blobs.totals("a"), Totals::default());
    assert!(blobs.detach_all("b", 10));
    assert_eq!((blobs.blob(&sha), blobs.extents.count()), (None, 0));
}

#[test]
fn a_list_is_paged_in_hash_order() {
    let mut blobs = open(&VectorMemory::default());
    let mut shas: Vec<Digest> = (0..5u8).map(|number| upload(&mut blobs, "a", &[number])).collect();
    shas.iter().for_each(|sha| blobs.attach("a", sha, 1).unwrap());
    upload(&mut blobs, "a", b"refered to by nothing");
    shas.sort_unstable();
    let mut found = Vec::new();
    let mut after = None;
    loop {
        let page = blobs.list("a", after.as_deref(), 2);
        found.extend(page.items.into_iter().map(|blob| blob.sha256));
        after = page.next.map(ByteBuf::into_vec);
        if after.is_none() {
            break;
        }
    }
    assert_eq!(found, shas);
}

#[test]
fn an_import_takes_the_declared_chunks_only() {
    let (sha, bytes) = &SAMPLES[2];
    let mut blobs = open(&VectorMemory::default());
    assert!(matches!(blobs.import_chunk(sha, 2, chunks(bytes)[2]), Err(Error::NotFound(_))));
    blobs.declare(&description(bytes)).unwrap();
    assert!(matches!(blobs.import_chunk(sha, 2, b"wrong"), Err(Error::DigestMismatch(_))));
    blobs.import_chunk(sha, 2, chunks(bytes)[2]).unwrap();
    blobs.declare(&description(bytes)).unwrap();
    assert_eq!(blobs.missing_chunks(None, 10).items[0].missing.as_ref(), [0b011]);
    assert!(!blobs.has("a", sha));
    blobs.import_chunk(sha, 0, chunks(bytes)[0]).unwrap();
    blobs.import_chunk(sha, 0, chunks(bytes)[0]).unwrap();
    blobs.import_chunk(sha, 1, chunks(bytes)[1]).unwrap();
    assert!(blobs.missing_chunks(None, 10).items.is_empty());
    assert_eq!(blobs.import_counts(), ImportCounts { declared: 1, complete: 1, chunks: 3 });
    assert_eq!(blobs.read(sha, 0, u64::MAX).as_deref(), Some(&bytes[..]));
}

#[test]
fn what_no_memory_refers_to_goes_when_the_import_is_released() {
    let mut blobs = open(&VectorMemory::default());
    for (sha, bytes) in SAMPLES.iter() {
        blobs.declare(&description(bytes)).unwrap();
        for (index, chunk) in chunks(bytes).into_iter().enumerate() {
            blobs.import_chunk(sha, index as u32, chunk).unwrap();
        }
    }
    blobs.attach("a", &SAMPLES[1].0, 7).unwrap();
    assert!(!blobs.release_import(1));
    assert!(blobs.release_import(10));
    assert_eq!(SAMPLES.iter().map(|(sha, _)| blobs.has("a", sha)).collect::<Vec<_>>(), [false, true, false]);
    assert_eq!(blobs.extents.count(), 1);
}

#[test]
fn a_declaration_with_other_chunks_starts_again() {
    let (sha, bytes) = &SAMPLES[2];
    let mut blobs = open(&VectorMemory::default());
    let mut wrong = description(bytes);
    wrong.chunk_digests[33] ^= 1;
    blobs.declare(&wrong).unwrap();
    blobs.import_chunk(sha, 2, chunks(bytes)[2]).unwrap();
    blobs.declare(&description(bytes)).unwrap();
    assert_eq!(blobs.missing_chunks(None, 10).items[0].missing.as_ref(), [0b111]);
    assert_eq!(blobs.extents.count(), 0);
    let single = description(b"one chunk");
    let stolen = Blob { sha256: ByteBuf::from([1; 32]), ..single };
    assert!(matches!(blobs.declare(&stolen), Err(Error::DigestMismatch(_))));
}

// ---- against a model ------------------------------------------------------------------------------

#[derive(Clone, Debug)]
enum Step {
    Begin,
    Put(prop::sample::Index),
    Finish,
    Abort,
    Attach,
    Detach,
    DetachAll,
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => Just(Step::Begin),
        6 => any::<prop::sample::Index>().prop_map(Step::Put),
        4 => Just(Step::Finish),
        1 => Just(Step::Abort),
        3 => Just(Step::Attach),
        2 => Just(Step::Detach),
        1 => Just(Step::DetachAll),
        1 => Just(Step::Reopen),
    ]
}

/// What one capsule should have, in plain collections.
#[derive(Default)]
struct Model {
    running: BTreeMap<usize, BTreeSet<u32>>,
    finished: BTreeSet<usize>,
    references: BTreeMap<usize, u32>,
}

impl Model {
    fn has(&self, sample: usize) -> bool {
        self.finished.contains(&sample) || self.references.contains_key(&sample)
    }

    fn status(&self, sample: usize) -> Option<(Vec<u32>, bool)> {
        let all = (0..chunk_count(SAMPLES[sample].1.len() as u64)).collect();
        if self.has(sample) {
            return Some((all, true));
        }
        self.running.get(&sample).map(|received| (received.iter().copied().collect(), false))
    }

    fn apply(&mut self, step: &Step, sample: usize) -> bool {
        match step {
            Step::Begin => {
                if !self.has(sample) {
                    self.running.entry(sample).or_default();
                }
                true
            }
            Step::Put(index) => match self.running.get_mut(&sample) {
                Some(received) => {
                    let count = chunk_count(SAMPLES[sample].1.len() as u64) as usize;
                    if count > 0 {
                        received.insert(index.index(count) as u32);
                    }
                    count > 0
                }
                None => self.has(sample) && sample > 0,
            },
            Step::Finish => {
                let full = self.status(sample).is_some_and(|(received, _)| {
                    received.len() as u32 == chunk_count(SAMPLES[sample].1.len() as u64)
                });
                if full && self.running.remove(&sample).is_some() {
                    self.finished.insert(sample);
                }
                full
            }
            Step::Abort => {
                self.running.remove(&sample);
                self.finished.remove(&sample);
                true
            }
            Step::Attach => {
                let has = self.has(sample);
                if has {
                    self.finished.remove(&sample);
                    *self.references.entry(sample).or_default() += 1;
                }
                has
            }
            Step::Detach => {
                if let Some(references) = self.references.get_mut(&sample) {
                    *references -= 1;
                    if *references == 0 {
                        self.references.remove(&sample);
                    }
                }
                true
            }
            Step::DetachAll => {
                *self = Model::default();
                true
            }
            Step::Reopen => true,
        }
    }
}

fn received(status: &UploadStatus) -> Vec<u32> {
    (0..chunk_count(status.length))
        .filter(|i| status.received[(i / 8) as usize] >> (i % 8) & 1 == 1)
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn two_capsules_behave_as_the_model_says(
        steps in prop::collection::vec((step(), 0..2usize, 0..3usize), 1..40)
    ) {
        let memory = VectorMemory::default();
        let mut blobs = open(&memory);
        let mut models = [Model::default(), Model::default()];
        for (step, who, sample) in &steps {
            let capsule = ["a", "b"][*who];
            let (sha, bytes) = &SAMPLES[*sample];
            let length = bytes.len() as u64;
            let done = match step {
                Step::Begin => blobs.begin_upload(capsule, sha, length, &Quotas::HUB, 0).is_ok(),
                Step::Put(index) => {
                    let index = index.index((chunk_count(length) as usize).max(1));
                    let chunk = chunks(bytes).get(index).copied().unwrap_or_default();
                    blobs.put_chunk(capsule, sha, index as u32, chunk, 0).is_ok()
                }
                Step::Finish => blobs.finish_upload(capsule, sha).is_ok_and(|status| status.complete),
                Step::Abort => {
                    blobs.abort_upload(capsule, sha);
                    true
                }
                Step::Attach => blobs.attach(capsule, sha, length).is_ok(),
                Step::Detach => {
                    blobs.detach(capsule, sha);
                    true
                }
                Step::DetachAll => blobs.detach_all(capsule, 100),
                Step::Reopen => {
                    blobs = open(&memory);
                    true
                }
            };
            prop_assert_eq!(done, models[*who].apply(step, *sample), "{:?} of sample {}", step, sample);
        }
        let mut stored = 0;
        for (sample, (sha, bytes)) in SAMPLES.iter().enumerate() {
            for (capsule, model) in ["a", "b"].into_iter().zip(&models) {
                let status = blobs.upload_status(capsule, sha).ok();
                prop_assert_eq!(status.map(|s| (received(&s), s.complete)), model.status(sample));
                stored += model.running.get(&sample).map_or(0, BTreeSet::len) as u64;
            }
            let alive = models.iter().any(|model| model.has(sample));
            prop_assert_eq!(blobs.blob(sha), alive.then(|| description(bytes)));
            prop_assert_eq!(blobs.read(sha, 0, u64::MAX), alive.then(|| bytes.clone()));
            stored += if alive { u64::from(chunk_count(bytes.len() as u64)) } else { 0 };
        }
        prop_assert_eq!(blobs.extents.count(), stored);
        for (capsule, model) in ["a", "b"].into_iter().zip(&models) {
            let lengths = model.references.keys().map(|sample| SAMPLES[*sample].1.len() as u64);
            prop_assert_eq!(blobs.totals(capsule), lengths.fold(Totals::default(), Totals::with));
        }
    }
}
