use engine_candle::{Kernels, Llama};

use crate::starter::{ask, path};

/// The logits' bits after `ids`, fed `chunk` at a time.
fn logits(model: &mut Llama, ids: &[u32], chunk: usize) -> Vec<u32> {
    model.clear();
    for ids in ids.chunks(chunk) {
        model.feed(ids).unwrap();
    }
    model.logits().iter().map(|logit| logit.to_bits()).collect()
}

fn on_threads<T: Send>(threads: usize, work: impl FnOnce() -> T + Send) -> T {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(work)
}

fn load(kernels: Kernels) -> Llama {
    Llama::load(&path(), 512, kernels, |_, _| true).unwrap()
}

/// Verifies: ORCH-291
#[test]
fn no_bit_of_the_logits_depends_on_chunks_threads_or_kernels() {
    let ids = ask("Write a haiku about the sea, please.");
    let mut model = on_threads(2, || load(Kernels::detect()));
    let whole = on_threads(2, || logits(&mut model, &ids, ids.len()));
    for chunk in [1, 3, 16] {
        assert_eq!(on_threads(2, || logits(&mut model, &ids, chunk)), whole, "chunks of {chunk}");
    }
    for threads in [1, 3] {
        let found = on_threads(threads, || logits(&mut model, &ids, 5));
        assert_eq!(found, whole, "{threads} threads");
    }
    let mut portable = on_threads(2, || load(Kernels::Portable));
    assert_eq!(on_threads(2, || logits(&mut portable, &ids[..9], 9)), {
        on_threads(2, || logits(&mut model, &ids[..9], 9))
    });
}

#[test]
fn logits_depend_on_every_token_and_its_place() {
    let mut model = on_threads(2, || load(Kernels::detect()));
    let base = on_threads(2, || logits(&mut model, &[5, 6, 7, 8], 4));
    for other in [[4, 6, 7, 8], [6, 5, 7, 8], [5, 6, 7, 9]] {
        assert_ne!(on_threads(2, || logits(&mut model, &other, 4)), base, "{other:?}");
    }
}
