//! The command line as it is parsed.

use clap::CommandFactory as _;

use super::*;
use crate::config::keys::find;
use crate::market::TimeOfDay;

fn parse(arguments: &str) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(format!("bongsu {arguments}").split_whitespace())
}

fn flags(arguments: &str) -> Vec<Flag> {
    parse(arguments).unwrap().command.unwrap().flags()
}

#[test]
fn the_definition_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn every_flag_is_a_setting_that_names_it() {
    let all = [
        "run --source sim --symbols 005930 --data d --day 1 --indices i --speed 1",
        "run --market calm",
        "kis-sim --env mock --symbols 3 --seed 1 --trade-fields 46 --book-fields 59 \
         --records-per-frame 1 --fault mute --fault cut",
    ];
    for arguments in all {
        for (key, _) in flags(arguments) {
            let key = find(&key).unwrap_or_else(|| panic!("{key} is no setting"));
            let flag = key.flag.unwrap_or_else(|| panic!("{} names no flag", key.path));
            assert!(arguments.contains(flag), "{flag}");
        }
    }
    let global = parse("--data-dir x --kis-devlp y").unwrap().global.flags();
    assert!(global.iter().all(|(key, _)| find(key).unwrap().flag.is_some()));
}

#[test]
fn faults_are_joined() {
    let joined = flags("kis-sim --fault mute;cut --fault lose:p=0.5");
    assert_eq!(joined, [("sim.fault".to_owned(), "mute;cut;lose:p=0.5".to_owned())]);
    assert!(flags("kis-sim").is_empty());
}

#[test]
fn nothing_means_run() {
    let cli = parse("--config f.toml").unwrap();
    assert!(cli.command.is_none());
    let Command::Run(args) = cli.command.unwrap_or_default() else { panic!("not run") };
    assert_eq!(args.roles, [Role::All]);
    assert!(args.flags().is_empty());
}

#[test]
fn replay_takes_exactly_one_input() {
    assert!(parse("replay --journal j --sandbox s").is_ok());
    assert!(parse("replay --data d --sandbox s --batch 7").is_ok());
    assert!(parse("replay --sandbox s").is_err());
    assert!(parse("replay --journal j --data d --sandbox s").is_err());
    assert!(parse("replay --journal j").is_err());
    assert!(parse("replay --journal j --sandbox s --batch 0").is_err());
    assert!(parse("replay --journal j --sandbox s --speed -1").is_err());
}

#[test]
fn replay_times() {
    let instant = |text: &str| match text.parse() {
        Ok(ReplayTime::Instant(time)) => time.rfc3339(),
        other => panic!("{other:?}"),
    };
    assert_eq!(instant("2024-08-05"), "2024-08-05T00:00:00+09:00");
    assert_eq!(instant("2024-08-05T09:30:00"), "2024-08-05T09:30:00+09:00");
    assert_eq!(instant("2024-08-05T00:30:00Z"), "2024-08-05T09:30:00+09:00");
    let daily = "09:30".parse::<ReplayTime>().unwrap();
    assert_eq!(daily, ReplayTime::Daily(TimeOfDay::from_hms(9, 30, 0).unwrap()));
    for wrong in ["", "noon", "2024-02-30", "2024-08-05T25:00"] {
        assert!(wrong.parse::<ReplayTime>().is_err(), "{wrong}");
    }
}

#[test]
fn limits_and_durations() {
    assert_eq!("none".parse(), Ok(RegistrationLimit(None)));
    assert!("0".parse::<RegistrationLimit>().is_err());
    assert!(parse("run --duration 0").is_err());
    assert!(parse("run --duration nan").is_err());
    assert!(parse("run --duration 1e300").is_err());
    assert!(parse("run --duration 2.5").is_ok());
    assert!(parse("run --roles ingest,api").is_ok());
    assert!(parse("run --roles cook").is_err());
    assert!(parse("run --data d --market calm").is_err());
}

proptest::proptest! {
    #[test]
    fn any_bound_of_a_replay_is_read_or_refused(text in "\\PC{0,30}") {
        let _ = text.parse::<ReplayTime>();
    }
}
