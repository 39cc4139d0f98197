#![allow(clippy::unwrap_used)]
use super::*;
use althing_protocol::Kind;

fn load(text: &str, environment: &[(&str, &str)], flags: &[(&str, &str)]) -> Result<Settings> {
    let owned = |pairs: &[(&str, &str)]| {
        pairs.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect()
    };
    let overrides = Overrides { file: None, environment: owned(environment), flags: owned(flags) };
    let settings = overrides.apply(Path::new("host.toml"), text)?;
    settings.check()?;
    Ok(settings)
}

fn refusal(text: &str, environment: &[(&str, &str)], flags: &[(&str, &str)]) -> String {
    let error = load(text, environment, flags).unwrap_err();
    assert_eq!(error.kind, Kind::Invalid);
    error.message
}

#[test]
fn the_commented_file_says_the_defaults() {
    assert_eq!(load(DEFAULT_FILE, &[], &[]).unwrap(), Settings::default());
    let uncommented: String = DEFAULT_FILE
        .lines()
        .map(|line| match line.strip_prefix("# ") {
            Some(setting) if setting.contains(" = ") => setting,
            _ => line,
        })
        .flat_map(|line| [line, "\n"])
        .collect();
    let table: toml::Table = toml::from_str(&uncommented).unwrap();
    assert_eq!(table, toml::Table::try_from(Settings::default()).unwrap());
}

#[test]
fn an_unknown_key_is_named_with_its_line() {
    let message = refusal("[http]\nlistne = \"127.0.0.1:1\"\n", &[], &[]);
    assert!(message.contains("listne") && message.contains("line 2"), "{message}");
    let message = refusal("[cloud]\nx = 1\n", &[], &[]);
    assert!(message.contains("cloud") && message.contains("line 1"), "{message}");
}

#[test]
fn flags_stand_above_the_environment_and_that_above_the_file() {
    let file = "[http]\nlisten = \"127.0.0.1:1\"\n[log]\nkeep_entries = 7\n";
    let environment = [
        ("ALTHING_HTTP_LISTEN", "127.0.0.1:2"),
        ("ALTHING_LIMITS_BURST", "512"),
        ("ALTHING_TOKEN", "not ours"),
    ];
    let settings = load(file, &environment, &[("http.listen", "127.0.0.1:3")]).unwrap();
    assert_eq!(settings.http.listen.port(), 3);
    assert_eq!(settings.limits.burst, 512);
    assert_eq!(settings.log.keep_entries, 7);
}

#[test]
fn an_override_that_is_not_known_or_not_understood_is_named() {
    let typo = refusal("", &[("ALTHING_HTTP_LISTNE", "x")], &[]);
    assert!(typo.contains("ALTHING_HTTP_LISTNE"), "{typo}");
    let wrong = refusal("", &[("ALTHING_LIMITS_BURST", "many")], &[]);
    assert!(wrong.contains("ALTHING_LIMITS_BURST"), "{wrong}");
    let flag = refusal("", &[], &[("http.port", "1")]);
    assert!(flag.contains("http.port") && flag.contains("http.listen"), "{flag}");
}

#[test]
fn what_is_not_allowed_is_refused_with_the_reason() {
    let everywhere = refusal("[http]\nlisten = \"0.0.0.0:3000\"\n", &[], &[]);
    assert!(everywhere.contains("loopback"), "{everywhere}");
    assert!(refusal("[limits]\nburst = 10\n", &[], &[]).contains("limits.burst"));
    assert!(refusal("[limits]\nrequests_max = 0\n", &[], &[]).contains("limits.requests_max"));
}

/// Where others reach a node with these settings, or a word of why not.
#[test]
fn where_other_nodes_reach_this_one() {
    for (listen, advertise, expected) in [
        ("", "", Ok("")),
        ("192.168.1.7:3001", "", Ok("192.168.1.7:3001")),
        ("127.0.0.1:0", "", Ok("127.0.0.1:0")),
        ("0.0.0.0:3001", "pi.lan:3001", Ok("pi.lan:3001")),
        ("[::]:3001", "[fd00::1]:3001", Ok("[fd00::1]:3001")),
        ("0.0.0.0:3001", "", Err("set peers.advertise to HOST:PORT")),
        ("[::]:3001", "", Err("like desktop.lan:3001")),
        ("", "pi.lan:3001", Err("set peers.listen too")),
        (
            "0.0.0.0:3001",
            "pi.lan",
            Err("peers.advertise: address \"pi.lan\" of a node: has no port"),
        ),
        ("0.0.0.0:3001", "0.0.0.0:3001", Err("every address of a machine")),
    ] {
        let peers = Peers {
            listen: Listen::try_from(listen.to_owned()).unwrap(),
            advertise: advertise.into(),
        };
        match (peers.address(), expected) {
            (Ok(address), Ok(expected)) => assert_eq!(address, expected),
            (Err(error), Err(words)) => assert!(error.message.contains(words), "{error}"),
            (found, _) => panic!("{listen} {advertise}: {found:?}"),
        }
    }
    let wrong = refusal("", &[("ALTHING_PEERS_LISTEN", "pi.lan:3001")], &[]);
    assert!(wrong.contains("ALTHING_PEERS_LISTEN") && wrong.contains("IP:PORT"), "{wrong}");
}

#[test]
fn labels_come_from_anywhere() {
    let labels = |settings: Settings| settings.node.labels.into_iter().collect::<Vec<_>>();
    let gpu = vec![("gpu".to_owned(), "yes".to_owned())];
    assert_eq!(labels(load("[node.labels]\ngpu = \"yes\"\n", &[], &[]).unwrap()), gpu);
    let variable = [("ALTHING_NODE_LABELS", "{gpu = \"yes\"}")];
    assert_eq!(labels(load("", &variable, &[]).unwrap()), gpu);
    assert!(refusal("", &[], &[("node.labels", "{arch = \"z80\"}")]).contains("arch"));
}

#[test]
fn what_was_given_when_it_was_made_stays_in_the_file() {
    let set = |pairs: &[(&str, &str)]| {
        let pairs: Vec<_> = pairs.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        file_with(&pairs)
    };
    assert_eq!(set(&[]).unwrap(), DEFAULT_FILE);
    let given = [
        ("http.listen", "127.0.0.1:1"),
        ("peers.listen", "127.0.0.1:2"),
        ("peers.listen", "127.0.0.1:3"),
        ("node.labels", "{gpu = \"yes\"}"),
        ("limits.burst", "512"),
    ];
    let text = set(&given).unwrap();
    assert_eq!(text.lines().count(), DEFAULT_FILE.lines().count());
    let read = load(&text, &[], &[]).unwrap();
    assert_eq!(read, load("", &[], &given).unwrap());
    assert_eq!((read.http.listen.port(), read.limits.burst), (1, 512));
    assert_eq!(String::from(read.peers.listen), "127.0.0.1:3");
    assert_eq!(set(&[("peers.lisen", "x")]).unwrap_err().kind, Kind::Invalid);
    assert_eq!(set(&[("peers.listen", "0.0.0.0:1")]).unwrap_err().kind, Kind::Invalid);
}

#[test]
fn a_file_that_was_named_must_be_there() {
    let dir = tempfile::tempdir().unwrap();
    let overrides = Overrides { file: Some(dir.path().join("none.toml")), ..Overrides::default() };
    assert_eq!(Config::load(dir.path(), &overrides).unwrap_err().kind, Kind::NotFound);
    assert!(Config::load(dir.path(), &Overrides::default()).is_ok());
}
