use super::*;

#[test]
fn without_anything_it_is_an_open_server_on_port_8080() {
    let config = Setup::default().load().unwrap();
    assert_eq!(config.http.to_string(), "[::]:8080");
    assert_eq!(config.media.to_string(), "[::]:8080");
    assert_eq!(config.on_conflict, OnConflict::Takeover);
    assert_eq!(config.burst_max_bytes, 8_000_000);
    assert_eq!(config.burst_max_age, Duration::from_secs(10));
    assert_eq!(config.burst_rate, Bitrate(20_000_000));
    assert_eq!(config.start_bitrate, Bitrate(2_000_000));
    assert_eq!(config.rate_limit, NonZeroU32::new(300));
    assert!(config.publish_keys.is_empty() && config.watch_keys.is_empty() && config.cors_origins.is_empty());
    assert!(config.workers >= 1 && config.file.is_none());
}

#[test]
fn flags_win_over_environment_over_file_over_defaults() {
    let file = "http = 1001\nmax-sessions = 11\nburst-max-seconds = 1\nrate-limit = 7";
    let setup = Setup::default().file(file);
    let setup = setup
        .env("SHIBUKI_HTTP", "1002")
        .env("SHIBUKI_MAX_SESSIONS", "12")
        .flags(&["--http=1003"]);
    let config = setup.load().unwrap();
    assert_eq!(config.http.port(), 1003);
    assert_eq!(config.max_sessions, 12);
    assert_eq!(config.burst_max_age, Duration::from_secs(1));
    assert_eq!(config.media.port(), 1003, "follows http");
    assert_eq!(config.burst_rate, Bitrate(20_000_000));
    assert!(config.file.is_some());
}

#[test]
fn media_comes_to_all_addresses_even_if_http_is_behind_a_proxy() {
    let config = Setup::default().flags(&["--http=127.0.0.1:9000"]).load().unwrap();
    assert_eq!(config.media.to_string(), "[::]:9000");
}

#[test]
fn every_key_can_be_set_everywhere() {
    let file = r#"
        http = "127.0.0.1:9000"
        media-port = 9001
        media-address = "0.0.0.0"
        public-ip = ["203.0.113.5"]
        workers = 3
        trusted-proxies = ["10.0.0.0/8", "::1"]
        outgoing-networks = ["127.0.0.1"]
        strict-session-auth = true
        cors-origins = ["https://example.org/"]
        on-conflict = "reject"
        require-publisher = true
        burst-max-bytes = 100_000
        burst-max-seconds = 2
        burst-rate = 300_000
        start-bitrate = 400_000
        max-sessions = 40
        max-viewers-per-stream = 5
        max-handshakes = 6
        rate-limit = 7
        rate-limit-loopback = true
        etag = "strict"
        log = "shibuki=debug"
        log-format = "json"
        webhooks = ["https://example.org/events"]
        webhook-secret = "0123456789abcdef"
        webhook-events = ["finding"]
        otlp-endpoint = "http://127.0.0.1:4318"
        [keys]
        publish = ["a", "b"]
        watch = "c"
        admin = "d"
        secret = "s"
        public-key = ["a.pem"]
        jwks = "https://example.org/jwks"
        audience = "stage"
        issuer = "us"
        hook = "https://example.org/may"
        hook-timeout = 200
        hook-cache = 1
        anyone-may = ["watch"]
        [[ice-servers]]
        url = "turn:example.org"
        username = "u"
        credential = "p"
    "#;
    let flags = [
        "--http=127.0.0.1:9000",
        "--media-port=9001",
        "--media-address=0.0.0.0",
        "--public-ip=203.0.113.5",
        "--workers=3",
        "--trusted-proxies=10.0.0.0/8,::1",
        "--outgoing-networks=127.0.0.1",
        "--strict-session-auth",
        "--cors-origins=https://example.org/",
        "--on-conflict=reject",
        "--require-publisher=true",
        "--burst-max-bytes=100000",
        "--burst-max-seconds=2",
        "--burst-rate=300000",
        "--start-bitrate=400000",
        "--max-sessions=40",
        "--max-viewers-per-stream=5",
        "--max-handshakes=6",
        "--rate-limit=7",
        "--rate-limit-loopback=yes",
        "--etag=strict",
        "--log=shibuki=debug",
        "--log-format=json",
        "--keys-publish=a,b",
        "--keys-watch=c",
        "--keys-admin=d",
        "--keys-secret=s",
        "--keys-public-key=a.pem",
        "--keys-jwks=https://example.org/jwks",
        "--keys-audience=stage",
        "--keys-issuer=us",
        "--keys-hook=https://example.org/may",
        "--keys-hook-timeout=200",
        "--keys-hook-cache=1",
        "--keys-anyone-may=watch",
        "--ice-servers=turn:example.org|u|p",
        "--webhooks=https://example.org/events",
        "--webhook-secret=0123456789abcdef",
        "--webhook-events=finding",
        "--otlp-endpoint=http://127.0.0.1:4318",
    ];
    let by_file = Setup::default().file(file).load().unwrap();
    let by_flags = Setup::default().flags(&flags).load().unwrap();
    let by_environment = flags.iter().fold(Setup::default(), |setup, flag| {
        let (name, value) = flag
            .trim_start_matches('-')
            .split_once('=')
            .unwrap_or((&flag[2..], "true"));
        setup.env(
            &format!("SHIBUKI_{}", name.to_uppercase().replace('-', "_")),
            value,
        )
    });
    let by_environment = by_environment.load().unwrap();
    let shown = |config: &Config| {
        format!(
            "{:?}",
            Config {
                file: None,
                ..config.clone()
            }
        )
    };
    assert_eq!(shown(&by_file), shown(&by_flags));
    assert_eq!(shown(&by_environment), shown(&by_flags));
    assert_eq!(by_flags.media.to_string(), "0.0.0.0:9001");
    assert_eq!(by_flags.cors_origins[0].as_str(), "https://example.org");
    assert_eq!(by_flags.ice_servers[0].credential.as_deref().unwrap(), "p");
    let keys: Vec<&str> = by_flags.publish_keys.iter().map(|k| k.key.reveal()).collect();
    assert_eq!(keys, ["a", "b"]);

    let known = Flags::command()
        .get_arguments()
        .filter(|a| a.get_long().is_some())
        .count();
    assert_eq!(
        known,
        flags.len() + 1,
        "a new key belongs into this test (all but --config are here)"
    );
}

#[test]
fn keys_may_be_given_by_stream() {
    let setup = Setup::default()
        .file("[keys]\nwatch = \"w\"\n[keys.publish]\nlive = [\"a\", \"b\"]\nother = \"c\"\n\"*\" = \"d\"");
    let config = setup.load().unwrap();
    let seen: Vec<(Option<&str>, &str)> = config
        .publish_keys
        .iter()
        .map(|key| (key.stream.as_ref().map(|s| s.as_str()), key.key.reveal()))
        .collect();
    assert_eq!(
        seen,
        [
            (None, "d"),
            (Some("live"), "a"),
            (Some("live"), "b"),
            (Some("other"), "c")
        ]
    );
    assert_eq!(config.watch_keys.len(), 1);
    let bad = "[keys]\npublish = { \"a b\" = \"x\" }";
    assert!(
        Setup::default().file(bad).error().contains("a b: a stream name"),
        "{}",
        Setup::default().file(bad).error()
    );
}

#[test]
fn unknown_keys_of_the_file_are_named_with_line_and_nearest() {
    let error = Setup::default()
        .file("# mine\n\non_conflict = \"reject\"\n")
        .error();
    assert!(
        error.ends_with("shibuki.toml:3: unknown key 'on_conflict'; did you mean 'on-conflict'?"),
        "{error}"
    );
    let error = Setup::default().file("[keys]\npublsh = [\"a\"]").error();
    assert!(
        error.ends_with("shibuki.toml:2: unknown key 'publsh'; did you mean 'publish'?"),
        "{error}"
    );
    let error = Setup::default().file("[key]\npublish = [\"a\"]").error();
    assert!(
        error.ends_with("shibuki.toml:1: unknown key 'key'; did you mean 'keys'?"),
        "{error}"
    );
    let error = Setup::default().file("keys-publish = \"a\"").error();
    assert!(
        error.contains("shibuki.toml:1: unknown key 'keys-publish'"),
        "{error}"
    );
    let error = Setup::default().file("zzz = 1").error();
    assert!(error.ends_with("shibuki.toml:1: unknown key 'zzz'"), "{error}");
    let error = Setup::default()
        .file("[[ice-servers]]\nurl = \"stun:a\"\nuser = \"b\"")
        .error();
    assert!(error.contains("line 3") && error.contains("user"), "{error}");
}

#[test]
fn unknown_variables_are_named_with_the_nearest() {
    let error = Setup::default().env("SHIBUKI_ON_CONFLIKT", "reject").error();
    assert_eq!(
        error,
        "unknown environment variable SHIBUKI_ON_CONFLIKT; did you mean 'SHIBUKI_ON_CONFLICT'?"
    );
    Setup::default()
        .env("OTHER_HTTP", "x")
        .env("SHIBUKI_HTTP", "")
        .load()
        .unwrap();
}

#[test]
fn what_kubernetes_adds_for_a_service_of_our_name_is_no_error() {
    let setup = Setup::default()
        .env("SHIBUKI_SERVICE_HOST", "10.0.0.1")
        .env("SHIBUKI_SERVICE_PORT_HTTP", "8080")
        .env("SHIBUKI_PORT", "tcp://10.0.0.1:8080")
        .env("SHIBUKI_PORT_8080_TCP_PROTO", "tcp");
    setup.load().unwrap();
    assert!(
        Setup::default()
            .env("SHIBUKI_PORT", "8080")
            .error()
            .contains("SHIBUKI_PORT")
    );
}

#[test]
fn unknown_flags_are_named_with_the_nearest() {
    let error = Setup::default().flags(&["--on-conflct=reject"]).error();
    assert!(
        error.contains("--on-conflct") && error.contains("'--on-conflict"),
        "{error}"
    );
}

#[test]
fn bad_values_are_told_with_their_place() {
    let error = Setup::default().file("http = 1\nworkers = 0").error();
    assert!(
        error.ends_with("shibuki.toml:2: workers: 0 is not in 1 to 256"),
        "{error}"
    );
    let error = Setup::default().file("http = 1\n[keys]\npublish = []").error();
    assert!(
        error.contains("shibuki.toml:3: keys-publish: the list is empty"),
        "{error}"
    );
    let error = Setup::default().file("max-sessions = \"many\"").error();
    assert!(
        error.contains("line 1") && error.contains("expected usize"),
        "{error}"
    );
    let error = Setup::default().file("http = ").error();
    assert!(
        error.contains("shibuki.toml") && error.contains("line 1"),
        "{error}"
    );
    let error = Setup::default().file("on-conflict = \"fight\"").error();
    assert!(error.contains("takeover") && error.contains("reject"), "{error}");
    let error = Setup::default().env("SHIBUKI_WORKERS", "300").error();
    assert_eq!(error, "SHIBUKI_WORKERS: 300 is not in 1 to 256");
    let error = Setup::default().env("SHIBUKI_HTTP", "here").error();
    assert!(error.starts_with("SHIBUKI_HTTP: invalid value 'here'"), "{error}");
    let error = Setup::default().flags(&["--burst-rate=5"]).error();
    assert!(error.contains("'--burst-rate': 5 is not in 100000 to"), "{error}");
    let error = Setup::default().flags(&["--keys-publish=with space"]).error();
    assert!(error.contains("without spaces"), "{error}");
    for bad in [
        "--log=a=b=c",
        "--ice-servers=http://x",
        "--ice-servers=turn:x|u",
        "--cors-origins=example.org",
    ] {
        assert!(
            matches!(Setup::default().flags(&[bad]).load(), Err(ConfigError::Flags(_))),
            "{bad}"
        );
    }
    for bad in [
        "--public-ip=0.0.0.0",
        "--trusted-proxies=10.0.0.0/33",
        "--http=70000",
        "--media-port=-1",
    ] {
        assert!(
            matches!(Setup::default().flags(&[bad]).load(), Err(ConfigError::Flags(_))),
            "{bad}"
        );
    }
}

#[test]
fn values_that_contradict_each_other_are_refused() {
    let error = Setup::default()
        .flags(&["--media-address=0.0.0.0", "--public-ip=2001:db8::1"])
        .error();
    assert!(error.contains("different families"), "{error}");
    let error = Setup::default()
        .file("rate-limit = 0")
        .flags(&["--rate-limit-loopback"])
        .error();
    assert!(error.contains("rate-limit-loopback"), "{error}");
    let error = Setup::default()
        .file("max-sessions = 10\nmax-handshakes = 11")
        .error();
    assert!(
        error.contains("max-handshakes 11 is more than max-sessions 10"),
        "{error}"
    );
    let config = Setup::default().flags(&["--max-sessions=10"]).load().unwrap();
    assert_eq!((config.max_handshakes, config.max_viewers_per_stream), (10, 10));
}

#[test]
fn the_file_is_the_named_one_or_the_one_in_the_directory() {
    let setup = Setup::default().file("http = 1");
    let other = setup.directory.path().join("other.toml");
    std::fs::write(&other, "http = 2").unwrap();
    let other = other.to_str().unwrap().to_owned();
    assert_eq!(setup.load().unwrap().http.port(), 1);
    let setup = setup.env("SHIBUKI_CONFIG", &other);
    assert_eq!(setup.load().unwrap().http.port(), 2);
    let setup = setup.flags(&["--config", "/nowhere/x.toml"]);
    assert!(
        matches!(setup.load(), Err(ConfigError::Read { .. })),
        "a named file must be there"
    );
}

#[test]
fn secrets_are_not_shown() {
    let setup = Setup::default().flags(&["--keys-watch=hunter2", "--ice-servers=turn:x|u|hunter3"]);
    let shown = format!("{:?}", setup.load().unwrap());
    assert!(shown.contains("turn:x") && !shown.contains("hunter"), "{shown}");
}

#[test]
fn help_is_complete() {
    Flags::command().debug_assert();
    let help = Flags::command().render_help().to_string();
    for key in ["--http", "--keys-publish", "--public-ip", "SHIBUKI_ON_CONFLICT"] {
        assert!(help.contains(key), "{help}");
    }
}

/// What a process is started with.
struct Setup {
    args: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    directory: Directory,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            args: vec!["shibuki".into()],
            environment: vec![],
            directory: Directory::new(),
        }
    }
}

impl Setup {
    fn file(self, text: &str) -> Self {
        std::fs::write(self.directory.path().join(DEFAULT_FILE), text).unwrap();
        self
    }

    fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    fn flags(mut self, flags: &[&str]) -> Self {
        self.args.extend(flags.iter().map(Into::into));
        self
    }

    fn load(&self) -> Result<Config, ConfigError> {
        Config::load(self.args.clone(), self.environment.clone(), self.directory.path())
    }

    fn error(&self) -> String {
        self.load().unwrap_err().to_string()
    }
}

/// Removed when dropped.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("shibuki-config-{:016x}", rand::random::<u64>()));
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
