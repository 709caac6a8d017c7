//! Settings as a whole: precedence, everything wrong at once, secrets, the shipped file.

mod channels;

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use secrecy::ExposeSecret as _;
use tempfile::TempDir;

use super::keys::{KEYS, find};
use super::*;

/// A folder with settings in it.
struct Place {
    folder: TempDir,
    environment: Vec<(String, String)>,
    flags: Vec<(String, String)>,
    config: Option<PathBuf>,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("config")).unwrap();
        Self { folder, environment: Vec::new(), flags: Vec::new(), config: None }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn toml(self, text: &str) -> Self {
        fs::write(self.path().join("config/bongsu.toml"), text).unwrap();
        self
    }

    fn dotenv(self, text: &str) -> Self {
        fs::write(self.path().join(".env"), text).unwrap();
        self
    }

    fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    fn flag(mut self, key: &str, value: &str) -> Self {
        self.flags.push((key.into(), value.into()));
        self
    }

    fn devlp(mut self, text: &str) -> Self {
        let home = self.path().join("home");
        fs::create_dir_all(home.join("KIS/config")).unwrap();
        fs::write(home.join("KIS/config/kis_devlp.yaml"), text).unwrap();
        self.environment.push(("HOME".into(), home.to_str().unwrap().into()));
        self
    }

    fn load(&self) -> Result<Settings, SettingsErrors> {
        Settings::load(&Sources {
            directory: self.path().to_owned(),
            config: self.config.clone(),
            environment: self
                .environment
                .iter()
                .map(|(name, value)| (OsString::from(name), OsString::from(value)))
                .collect(),
            flags: self.flags.clone(),
        })
    }

    fn errors(&self) -> String {
        self.load().unwrap_err().to_string().replace(self.path().to_str().unwrap(), ".")
    }
}

fn origin(settings: &Settings, path: &str) -> String {
    let row = settings.effective().iter().find(|row| row.key.path == path).unwrap();
    row.origin.to_string()
}

#[test]
fn nothing_set_gives_the_defaults() {
    let settings = Place::new().load().unwrap();
    assert_eq!(settings.feed.source, FeedSource::Sim);
    assert!(settings.feed.symbols.is_empty() && settings.feed.books && settings.writes);
    assert_eq!(settings.database.url.expose(), "sqlite://var/bongsu.db?mode=rwc");
    assert_eq!(settings.http.listen.to_string(), "127.0.0.1:8700");
    assert_eq!(settings.kis.ws_url.to_string(), "ws://ops.koreainvestment.com:21000");
    assert_eq!(settings.sim.seed, 20_240_805);
    assert_eq!(settings.sim.speed, None);
    assert_eq!(settings.advice.capital, 100_000_000);
    assert_eq!(settings.unused().count(), 0);
    assert_eq!(settings.effective().len(), KEYS.len());
}

#[test]
fn each_layer_beats_the_one_below() {
    let value = |place: &Place| {
        let settings = place.load().unwrap();
        (settings.feed.silence_seconds, origin(&settings, "feed.silence_seconds"))
    };
    let place = Place::new();
    assert_eq!(value(&place), (30, "default".into()));
    let place = place.toml("data_dir = \"x\"\n[feed]\nsilence_seconds = 21\n");
    let (number, from) = value(&place);
    assert_eq!(number, 21);
    assert!(from.ends_with("bongsu.toml line 3"), "{from}");
    let place = place.dotenv("# comment\nBONGSU_FEED__SILENCE_SECONDS=22\n");
    let (number, from) = value(&place);
    assert_eq!(number, 22);
    assert!(from.ends_with(".env line 2 BONGSU_FEED__SILENCE_SECONDS"), "{from}");
    let place = place.env("BONGSU_FEED__SILENCE_SECONDS", "23");
    let from = "environment variable BONGSU_FEED__SILENCE_SECONDS";
    assert_eq!(value(&place), (23, from.into()));
    let place = place.flag("feed.silence_seconds", "24");
    assert_eq!(value(&place), (24, "flag feed.silence_seconds".into()));
    let settings = place.flag("feed.source", "sim").load().unwrap();
    assert_eq!(origin(&settings, "feed.source"), "flag --source");
}

#[test]
fn an_empty_variable_is_not_set_and_our_own_name_wins() {
    let place = Place::new()
        .dotenv("REDIS_URL=redis://from-dotenv\n")
        .env("REDIS_URL", "")
        .env("DATABASE_URL", "mysql://theirs/x")
        .env("BONGSU_DATABASE__URL", "mysql://ours/x");
    let settings = place.load().unwrap();
    assert_eq!(settings.redis.url.unwrap().expose(), "redis://from-dotenv");
    assert_eq!(settings.database.url.expose(), "mysql://ours/x");
}

#[test]
fn dotenv_files_of_the_wild_are_understood() {
    let place = Place::new().dotenv(
        "\u{feff}# a comment\r\nexport OPENAI_MODEL='a model' # another\nDJANGO_KEY=x\n\
         OPENAI_API_KEY=\"sk-#1\"\nSTRANGE=\nBONGSU_WRITES=off\nBONGSU_WRITES=on\n\
         BONGSU_TEST_ANYTHING=1\n",
    );
    let settings = place.load().unwrap();
    assert_eq!(settings.llm.model, "a model");
    assert_eq!(settings.llm.api_key.unwrap().expose_secret(), "sk-#1");
    assert!(settings.writes);
}

#[test]
fn everything_wrong_is_reported_at_once() {
    let place = Place::new()
        .toml(
            "writes = 3\nwhether = 1\n[feed]\nsymbols = [5930]\nsimbols = []\nbooks = {}\n\
             [fed]\nx = 1\n[risk]\nsymbol_crash_pct = 31\n[sim]\nday = 2024-02-30x\n",
        )
        .dotenv("BONGSU_LOG__FORMAT=xml\nnot a line\nBONGSU_LOG__LEVLE=info\n")
        .env("BONGSU_HTTP__LISTEN", "nowhere")
        .env("REDIS_URL", "http://127.0.0.1")
        .env("BONGSU_FEED__SYMBOL", "005930")
        .flag("sim.speed", "-1");
    // The broken date makes the whole file invalid TOML; everything else is still reported.
    let errors = place.errors();
    assert!(errors.contains("./config/bongsu.toml line 12: not valid TOML"), "{errors}");
    let place = place.toml(
        "writes = 3\nwhether = 1\n[feed]\nsymbols = [5930]\nsimbols = []\nbooks = {}\n\
         [fed]\nx = 1\n[risk]\nsymbol_crash_pct = 31\n[sim]\nday = 2024-08-05T09:00:00\n",
    );
    let errors = place.errors();
    for expected in [
        "15 settings are wrong:\n  1. ",
        "writes = \"3\" (./config/bongsu.toml line 1): expected on or off",
        "unknown key whether (./config/bongsu.toml line 2): `bongsu config show` lists every key",
        "feed.symbols = \"a list of other things than texts\" (./config/bongsu.toml line 4): \
         expected issue codes",
        "unknown key feed.simbols (./config/bongsu.toml line 5): did you mean feed.symbols?",
        "feed.books = \"a table\" (./config/bongsu.toml line 6): expected on or off",
        "unknown section fed (./config/bongsu.toml line 7): did you mean [feed]?",
        "risk.symbol_crash_pct = \"31\" (./config/bongsu.toml line 10): expected a number from 0.1 \
         to 30",
        "sim.day = \"2024-08-05T09:00:00\" (./config/bongsu.toml line 12): expected a date",
        "log.format = \"xml\" (./.env line 1 BONGSU_LOG__FORMAT): expected one of text, json",
        "./.env line 2: not a line of a .env file",
        "unknown variable BONGSU_LOG__LEVLE (./.env line 3 BONGSU_LOG__LEVLE): did you mean \
         BONGSU_LOG__LEVEL?",
        "http.listen = \"nowhere\" (environment variable BONGSU_HTTP__LISTEN): expected \
         ADDRESS:PORT",
        "redis.url = \"http://127.0.0.1/\" (environment variable REDIS_URL): expected a URL that \
         begins with redis: or rediss:",
        "unknown variable BONGSU_FEED__SYMBOL (environment variable BONGSU_FEED__SYMBOL): did you \
         mean BONGSU_FEED__SYMBOLS?",
        "sim.speed = \"-1\" (flag --speed): expected event seconds played in a second",
    ] {
        assert!(errors.contains(expected), "{expected}\nis not in\n{errors}");
    }
}

#[test]
fn values_that_do_not_go_together() {
    let errors = Place::new()
        .env("KIS_APP_KEY", "key")
        .env("BONGSU_SIM__INDICES", "i.parquet")
        .env("BONGSU_SUPERVISION__BACKOFF_MAX_MS", "10")
        .env("BONGSU_SUPERVISION__HANG_SECONDS", "1")
        .env("BONGSU_SUPERVISION__HEARTBEAT_MS", "600")
        .errors();
    assert!(errors.starts_with("4 settings are wrong"), "{errors}");
    assert!(errors.contains("kis.app_key (environment variable KIS_APP_KEY): set without"));
    assert!(errors.contains("sim.indices"), "{errors}");
    assert!(errors.contains("10 is less than supervision.backoff_initial_ms = 20"), "{errors}");
    assert!(errors.contains("600 ms is more than half"), "{errors}");
    let errors = Place::new().flag("feed.source", "kis").errors();
    assert!(errors.contains("feed.source (flag --source): kis needs keys"), "{errors}");
    // A half that is there but wrong is one mistake, not two.
    let errors =
        Place::new().env("KIS_APP_KEY", "key").env("KIS_APP_SECRET", "\u{1}canary").errors();
    assert!(errors.starts_with("1 setting is wrong"), "{errors}");
    assert!(errors.contains("kis.app_secret = (set, not shown)"), "{errors}");
}

#[test]
fn a_named_config_file_must_exist_and_replaces_the_default_one() {
    let mut place = Place::new().toml("writes = \"off\"");
    assert!(!place.load().unwrap().writes);
    place.config = Some(place.path().join("other.toml"));
    assert!(place.errors().contains("./other.toml: cannot read this configuration file"));
    fs::write(place.path().join("other.toml"), "[log]\nlevel = \"debug\"").unwrap();
    let settings = place.load().unwrap();
    assert!(settings.writes);
    assert_eq!(settings.log.level, "debug");
}

#[test]
fn a_script_named_on_the_command_line_is_played() {
    let place = Place::new()
        .env("BONGSU_SIM__DATA", "ticks.parquet")
        .env("BONGSU_SIM__INDICES", "indices.parquet");
    assert!(place.load().unwrap().sim.data.is_some());
    let settings = place.flag("sim.market", "calm").load().unwrap();
    assert_eq!((settings.sim.data, settings.sim.indices), (None, None));
    assert_eq!(settings.sim.market, "calm");
}

#[test]
fn keys_of_kis_choose_the_feed() {
    let place = Place::new().env("KIS_APP_KEY", "key").env("KIS_APP_SECRET", "secret");
    let settings = place.load().unwrap();
    assert_eq!(settings.feed.source, FeedSource::Kis);
    assert_eq!(origin(&settings, "feed.source"), "default, because KIS keys are set");
    let place = place.env("KIS_ENV", "mock").env("KIS_WS_URL", "ws://127.0.0.1:1");
    let settings = place.flag("feed.source", "sim").load().unwrap();
    assert_eq!(settings.feed.source, FeedSource::Sim);
    assert_eq!(settings.kis.base_url.host_and_port().unwrap().1, 29_443);
    assert!((settings.kis.calls_per_second - 0.9).abs() < f64::EPSILON);
    assert_eq!(settings.kis.ws_url.expose(), "ws://127.0.0.1:1");
}

#[test]
fn a_kis_devlp_file_fills_what_nobody_else_set() {
    let file = "my_app: real-key\nmy_sec: real-secret\npaper_app: paper-key\n\
                paper_sec: paper-secret\nmy_acct_stock: \"12345678\"\nmy_prod: \"01\"\n\
                vops: ws://127.0.0.1:31000\nmy_agent: Mozilla/5.0\n";
    let place = Place::new().devlp(file);
    let settings = place.load().unwrap();
    assert_eq!(settings.kis.app_key.as_ref().unwrap().expose_secret(), "real-key");
    assert_eq!(settings.kis.account.as_ref().unwrap().expose_secret(), "12345678-01");
    assert_eq!(settings.feed.source, FeedSource::Kis);
    assert!(origin(&settings, "kis.app_key").ends_with("KIS/config/kis_devlp.yaml key my_app"));
    // The environment decides which half, and beats the file; keys of two accounts never mix.
    let place = place.env("KIS_ENV", "mock").env("KIS_APP_KEY", "k").env("KIS_APP_SECRET", "s");
    let settings = place.load().unwrap();
    assert_eq!(settings.kis.app_secret.unwrap().expose_secret(), "s");
    assert!(settings.kis.account.is_none());
    assert_eq!(settings.kis.ws_url.expose(), "ws://127.0.0.1:31000");
}

#[test]
fn a_kis_devlp_file_can_be_named() {
    let place = Place::new().devlp("my_app: of-home\nmy_sec: canary\n");
    let named = place.path().join("mine.yaml");
    let place = place.flag("kis.devlp", named.to_str().unwrap());
    assert!(place.errors().contains("./mine.yaml: cannot read this kis_devlp.yaml"));
    fs::write(&named, "my_app: mine\nmy_sec: [canary").unwrap();
    let errors = place.errors();
    assert!(errors.contains("./mine.yaml line 2: not a kis_devlp.yaml"), "{errors}");
    assert!(!errors.contains("canary"));
    fs::write(&named, "my_app: mine\nmy_sec: canary").unwrap();
    assert_eq!(place.load().unwrap().kis.app_key.unwrap().expose_secret(), "mine");
}

#[test]
fn the_data_folder_is_escaped_in_the_database_url() {
    let place = Place::new().env("BONGSU_DATA_DIR", "/tmp/봉수 50%?/");
    let settings = place.load().unwrap();
    let url = settings.database.url.expose();
    assert_eq!(url, "sqlite:///tmp/%EB%B4%89%EC%88%98%2050%25%3F/bongsu.db?mode=rwc");
}

#[test]
fn reserved_settings_are_accepted_and_told() {
    let place = Place::new()
        .env("SLACK_WEBHOOK_URL", "https://hooks.slack.com/services/canary")
        .env("SMTP_URL", "smtp://u:canary@127.0.0.1:25")
        .env("ALERT_EMAIL_TO", "a@example.com, b@example.com")
        .env("ALERT_EMAIL_FROM", "c@example.com")
        .env("VAULT_ADDR", "http://127.0.0.1:8200")
        .env("VAULT_TOKEN", "canary")
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318")
        .env("MINIO_ENDPOINT", "http://127.0.0.1:9000")
        .env("MINIO_ACCESS_KEY", "canary")
        .env("MINIO_SECRET_KEY", "canary")
        .env("MINIO_REGION", "kr");
    let settings = place.load().unwrap();
    assert_eq!(settings.unused().count(), 7);
    assert_eq!(settings.reserved.email_to.as_deref(), Some("a@example.com,b@example.com"));
    assert!(!format!("{settings:?}").contains("canary"));
}

#[test]
fn secrets_are_never_shown() {
    let secret_keys = || KEYS.iter().filter(|key| key.secret);
    // Right values: in no Debug, in nothing that `config show` prints.
    let mut place = Place::new().env("REDIS_URL", "redis://u:canary@h");
    for key in secret_keys() {
        let text = match key.path {
            "kis.account" => "87654321-99".into(),
            "kis.extra_keys" => "canary1:canary".into(),
            "api.tokens" => "read:canary".into(),
            "notify.slack_webhook_url" => "https://h/canary".into(),
            "notify.smtp_url" => "smtp://u:canary@h".into(),
            _ => "canary".to_owned(),
        };
        place = place.env(&key.bongsu_variable(), &text);
    }
    let settings = place.load().unwrap();
    let rows: Vec<String> = settings
        .effective()
        .iter()
        .map(|row| {
            format!(
                "{} {}",
                row.value.as_ref().map(Value::to_string).unwrap_or_default(),
                row.origin
            )
        })
        .collect();
    let shown = format!("{settings:?} {settings:#?} {rows:?}");
    assert!(!shown.contains("canary") && !shown.contains("87654321"), "{shown}");
    // Wrong ones, from every layer, in no error.
    for key in secret_keys() {
        let (section, name) = key.parts();
        let wrong = "\u{7}canary";
        let places = [
            Place::new().env(&key.bongsu_variable(), wrong),
            Place::new().flag(key.path, wrong),
            Place::new().dotenv(&format!("{}='{wrong}'\n", key.bongsu_variable())),
            Place::new().dotenv(&format!("{}=canary canary\n", key.bongsu_variable())),
            Place::new().toml(&format!("[{section}]\n{name} = \"\\u0007canary\"\n")),
            Place::new().toml(&format!("[{section}]\n{name} = canary\n")),
            Place::new().toml(&format!("[{section}]\n{name} = \"canary\n")),
            Place::new().toml(&format!("[{section}]\n{name}x = \"canary\"\n")),
            Place::new().env(&format!("{}X", key.bongsu_variable()), "canary"),
        ];
        for place in places {
            let errors = place.load().unwrap_err();
            let shown = format!("{errors} {errors:?} {errors:#?}");
            assert!(!shown.contains("canary"), "{}: {shown}", key.path);
        }
    }
}

#[test]
fn the_shipped_file_is_the_table_of_keys() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/bongsu.toml");
    if std::env::var_os("BONGSU_TEST_WRITE").is_some() {
        fs::write(&path, template::render()).unwrap();
    }
    let shipped = fs::read_to_string(&path).unwrap();
    assert!(
        shipped == template::render(),
        "config/bongsu.toml differs from the table of keys: \
         write it anew with BONGSU_TEST_WRITE=1 cargo test --lib config::"
    );
    // As shipped it changes nothing.
    let show = |settings: &Settings| -> Vec<String> {
        let value = |row: &Effective| row.value.as_ref().map(Value::to_string);
        settings
            .effective()
            .iter()
            .map(|row| format!("{} {:?}", row.key.path, value(row)))
            .collect()
    };
    let bare = Place::new().load().unwrap();
    let with_file = Place::new().toml(&shipped).load().unwrap();
    assert_eq!(show(&bare), show(&with_file));
    assert!(with_file.effective().iter().all(|row| !matches!(row.origin, Origin::File { .. })));
}

#[test]
fn the_shipped_file_uncommented_holds_every_key_with_its_default() {
    let uncommented: String = template::render()
        .lines()
        .map(|line| match line.strip_prefix("# ") {
            Some(setting) if setting.contains(" = ") && !line.starts_with("## ") => setting,
            _ => line,
        })
        .map(|line| format!("{line}\n"))
        .collect();
    // The example of kis.devlp is not a file that exists.
    let uncommented = uncommented.replace("devlp = \"kis_devlp.yaml\"", "devlp = \"\"");
    let settings = Place::new().toml(&uncommented).load().unwrap();
    let bare = Place::new().load().unwrap();
    for (row, bare) in settings.effective().iter().zip(bare.effective()) {
        if row.key.path == "kis.devlp" {
            continue;
        }
        assert!(matches!(row.origin, Origin::File { .. }), "{} is missing", row.key.path);
        if row.key.default.is_some() {
            let text = |row: &Effective| row.value.as_ref().map(Value::to_string);
            assert_eq!(text(row), text(bare), "{}", row.key.path);
        }
    }
}

#[test]
fn the_environment_must_be_unicode_where_it_is_ours() {
    use std::os::unix::ffi::OsStringExt as _;
    let bad = || OsString::from_vec(vec![0xff, b'c']);
    let mut sources = Sources {
        directory: tempfile::tempdir().unwrap().path().to_owned(),
        environment: vec![("SOME_OTHER".into(), bad())],
        ..Sources::default()
    };
    assert!(Settings::load(&sources).is_ok());
    sources.environment.push(("REDIS_URL".into(), bad()));
    let errors = Settings::load(&sources).unwrap_err().to_string();
    assert!(errors.contains("redis.url = (not Unicode) (environment variable REDIS_URL)"));
}

fn sources_of(environment: Vec<(String, String)>, flags: Vec<(String, String)>) -> Sources {
    Sources {
        directory: PathBuf::from("/nonexistent"),
        config: None,
        environment: environment.into_iter().map(|(n, v)| (n.into(), v.into())).collect(),
        flags,
    }
}

proptest! {
    #[test]
    fn any_text_as_any_value_is_taken_or_refused(
        index in 0..KEYS.len(),
        text in prop_oneof![any::<String>(), "[a-z0-9:/@.?=&%,-]{0,40}", "(redis|mysql|sqlite|http|ws):.{0,20}"],
    ) {
        let key = &KEYS[index];
        prop_assume!(key.path != "kis.devlp");
        let flags = vec![(key.path.to_owned(), text.clone())];
        let environment = vec![(key.bongsu_variable(), text.clone())];
        for sources in [sources_of(Vec::new(), flags), sources_of(environment, Vec::new())] {
            match Settings::load(&sources) {
                Ok(settings) => { let _ = format!("{settings:?}"); }
                Err(errors) => {
                    prop_assert!(errors.to_string().contains(key.path));
                    // A URL's host may be as short as an @: only longer texts tell anything.
                    if key.secret && text.chars().count() > 24 {
                        prop_assert!(!errors.to_string().contains(&text));
                    }
                }
            }
        }
    }

    #[test]
    fn any_file_is_read_or_refused(
        text in prop_oneof![any::<String>(), "([a-z_\\[\\]=\"'#{}0-9., ]{0,20}\n){0,8}"],
    ) {
        let mut problems = Vec::new();
        layers::toml_layer(Path::new("x.toml"), &text, &mut problems);
        layers::dotenv_layer(Path::new(".env"), &text, &mut problems);
        let _ = SettingsErrors::of(problems).map(|errors| errors.to_string());
    }

    #[test]
    fn any_variable_name_is_known_or_reported(name in "BONGSU_[A-Z_]{0,30}") {
        let known = KEYS.iter().any(|key| key.bongsu_variable() == name);
        let ours = known || name.starts_with("BONGSU_TEST_");
        let loaded = Settings::load(&sources_of(vec![(name, "x".into())], Vec::new()));
        prop_assert!(ours || loaded.is_err());
    }
}

#[test]
fn find_knows_every_key() {
    assert!(KEYS.iter().all(|key| find(key.path).is_some()));
    assert!(find("feed.nothing").is_none());
}
