use fetch::Authority;

#[test]
fn a_host_to_list_is_a_host_with_or_without_a_port() {
    for (text, shown) in [
        ("Mirror.example.com", "mirror.example.com:443"),
        ("10.0.0.1:8080", "10.0.0.1:8080"),
        ("[fd00::1]:80", "[fd00::1]:80"),
    ] {
        assert_eq!(text.parse::<Authority>().unwrap().to_string(), shown);
    }
    for text in ["", "a/b", "user@host", "host:port", "host?x", "https://host"] {
        assert!(text.parse::<Authority>().is_err(), "{text:?}");
    }
}
