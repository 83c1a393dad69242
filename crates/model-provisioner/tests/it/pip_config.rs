use model_provisioner::{DEFAULT_INDEX, PipConfig, PipConfigError, PipSources};
use proptest::prelude::*;

fn indexes(sources: PipSources<'_>) -> Vec<String> {
    let read = PipConfig::read(&sources).unwrap();
    read.index_urls.iter().map(ToString::to_string).collect()
}

#[test]
fn without_a_configuration_the_public_index_is_used() {
    assert_eq!(indexes(PipSources::default()), [DEFAULT_INDEX]);
    let only_cert = "[global]\ncert = /etc/certs.pem\nfind-links = /opt/wheels\n";
    let read = PipConfig::read(&PipSources { files: &[only_cert], ..Default::default() }).unwrap();
    assert_eq!(read.index_urls[0].as_str(), DEFAULT_INDEX);
    assert_eq!(read.index_urls.len(), 1, "a folder of wheels is no index");
    assert_eq!(read.cert.unwrap(), "/etc/certs.pem");
}

#[test]
fn files_are_read_as_pip_reads_them() {
    let machine = "# comment\n[global]\nindex_url: https://machine.example/simple\n\
                   extra-index-url = https://a.example/simple\n\
                   \thttps://b.example/simple https://c.example/simple\n\
                   ; comment\n[other]\nindex-url = https://other.example/\n";
    let user = "[GLOBAL]\nindex-url = https://wrong.example/\n[install]\n\
                Index-URL = https://user.example/simple\n";
    let files = [machine, user];
    let read = indexes(PipSources { files: &files, ..Default::default() });
    let expected =
        ["https://user.example", "https://a.example", "https://b.example", "https://c.example"];
    assert_eq!(read, expected.map(|host| format!("{host}/simple")));
    let later = "[global]\nindex-url = https://later.example/simple\n";
    let files = [machine, later];
    let read = indexes(PipSources { files: &files, ..Default::default() });
    assert_eq!(read[0], "https://later.example/simple");
}

#[test]
fn the_environment_goes_before_files() {
    let file = "[global]\nindex-url = https://file.example/\ncert = /file.pem\n";
    let sources = PipSources {
        files: &[file],
        index_url: Some("https://env.example/"),
        extra_index_url: Some(" https://x.example/  https://y.example/ "),
        cert: Some("/env.pem"),
        no_index: Some("0"),
    };
    let read = PipConfig::read(&sources).unwrap();
    assert_eq!(read.cert.unwrap(), "/env.pem");
    assert_eq!(
        indexes(sources),
        ["https://env.example/", "https://x.example/", "https://y.example/"]
    );
    let empty = PipSources { index_url: Some(""), ..sources };
    assert_eq!(indexes(empty)[0], "https://file.example/");
}

#[test]
fn credentials_of_an_index_are_kept_and_not_shown() {
    let sources =
        PipSources { index_url: Some("https://me:secret@x.example/"), ..Default::default() };
    let read = PipConfig::read(&sources).unwrap();
    assert_eq!(read.index_urls[0].password(), Some("secret"));
    assert!(!format!("{read:?}").contains("secret"), "{read:?}");
}

#[test]
fn pip_without_indexes_has_none() {
    assert!(indexes(PipSources { no_index: Some("true"), ..Default::default() }).is_empty());
    let file = "[global]\nno-index = yes\nindex-url = https://file.example/\n";
    assert!(indexes(PipSources { files: &[file], ..Default::default() }).is_empty());
}

#[test]
fn what_is_no_index_is_refused_without_showing_it() {
    for (index_url, extra_index_url, key) in [
        (Some("not a url secret"), None, "index-url"),
        (Some("ftp://me:secret@x/"), None, "index-url"),
        (None, Some("https://x.example/ ::secret"), "extra-index-url"),
    ] {
        let sources = PipSources { index_url, extra_index_url, ..Default::default() };
        let refused = PipConfig::read(&sources).unwrap_err();
        assert_eq!(refused, PipConfigError { key });
        assert!(!refused.to_string().contains("secret"));
    }
}

proptest! {
    #[test]
    fn no_file_is_too_strange_to_read(file in "([a-z\\[\\]=: \t\n#;-]|index-url|global|\\PC){0,200}") {
        let read = PipConfig::read(&PipSources { files: &[&file], ..Default::default() });
        prop_assert!(read.is_err() || read.is_ok_and(|read| read.index_urls.len() <= 200));
    }
}
