//! Samples, round trips through a writer, and every way a line can be wrong.

use std::path::PathBuf;

use encoding_rs::EUC_KR;
use proptest::prelude::*;

use super::codes::GROUPS;
use super::line::*;
use super::*;

/// Writes the line of a record, LF included. Fields that are not read are blank.
fn encode(record: &MasterRecord) -> Vec<u8> {
    let kind = record.kind;
    let mut line = vec![b' '; kind.width()];
    let mut put = |field: &Field, text: &[u8]| {
        assert!(text.len() <= field.width, "{}", field.name);
        line[field.offset(kind)..][..text.len()].copy_from_slice(text);
    };
    let zeros = |field: &Field, number: i64| format!("{number:0width$}", width = field.width);
    let flag = |is: bool| if is { b"Y" } else { b"N" };
    put(&CODE, record.code.as_bytes());
    put(&ISIN, record.isin.as_bytes());
    put(&NAME, &EUC_KR.encode(&record.name).0);
    let known = GROUPS.iter().find(|(_, group)| *group == record.group);
    let group = match (record.group, known) {
        (Group::Other(code), _) => code,
        (_, Some((code, _))) => **code,
        (group, None) => panic!("no code of {group:?}"),
    };
    put(&GROUP, &group);
    put(&SIZE, record.size.code());
    for (field, sector) in SECTORS.iter().zip(record.sectors) {
        put(field, sector.map_or("0000".into(), |code| code.to_string()).as_bytes());
    }
    match kind {
        MasterKind::Kospi => {
            put(&KOSPI200, record.kospi200_sector.unwrap_or('0').to_string().as_bytes());
        }
        MasterKind::Kosdaq => put(&KOSDAQ150, flag(record.kosdaq150)),
    }
    put(&ETP, record.etp.code());
    put(&PREFERRED, record.preferred.code());
    put(&ALARM, record.alarm.code());
    put(&EX_RIGHTS, record.ex_rights.code());
    put(&FACE_VALUE_CHANGE, record.face_value_change.code());
    for (field, is) in [
        (&SPAC, record.spac),
        (&HALTED, record.halted),
        (&LIQUIDATION, record.liquidation),
        (&ADMINISTRATIVE, record.administrative),
        (&KRX300, record.krx300),
    ] {
        put(field, flag(is));
    }
    for (field, number) in [
        (&BASE_PRICE, record.base_price),
        (&LOT, record.lot),
        (&PREVIOUS_VOLUME, Some(record.previous_volume)),
        (&FACE_VALUE, record.face_value),
        (&LISTED_ON, record.listed_on.map(|day| i64::from(day.yyyymmdd()))),
        (&LISTED_THOUSANDS, record.listed_shares.map(|shares| shares / SHARES_UNIT)),
        (&MARKET_VALUE, record.previous_market_value.map(|won| won / MARKET_VALUE_UNIT)),
    ] {
        put(field, zeros(field, number.unwrap_or(0)).as_bytes());
    }
    if let Some(percent) = record.margin_rate {
        put(&MARGIN_RATE, zeros(&MARGIN_RATE, percent).as_bytes());
    }
    line.push(b'\n');
    line
}

fn samsung() -> MasterRecord {
    let sector = |code: &str| Some(code.parse().unwrap());
    MasterRecord {
        kind: MasterKind::Kospi,
        code: "005930".into(),
        isin: "KR7005930003".into(),
        name: "삼성전자".into(),
        group: Group::Share,
        size: SizeClass::Large,
        sectors: [sector("0027"), sector("0013"), None],
        kospi200_sector: Some('5'),
        kosdaq150: false,
        krx300: true,
        etp: EtpKind::None,
        spac: false,
        base_price: Some(71_200),
        lot: Some(1),
        halted: false,
        liquidation: false,
        administrative: false,
        alarm: AlarmClass::None,
        ex_rights: ExRights::None,
        face_value_change: FaceValueChange::None,
        margin_rate: Some(20),
        previous_volume: 13_482_115,
        face_value: Some(100),
        listed_on: Some("1975-06-11".parse().unwrap()),
        listed_shares: Some(5_919_637_000),
        preferred: Preferred::Common,
        previous_market_value: Some(421_478_200_000_000),
    }
}

fn sample(name: &str) -> Option<Vec<u8>> {
    let root = std::env::var_os("BONGSU_SHARED")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared"), PathBuf::from);
    match std::fs::read(root.join("kis/samples/mst").join(name)) {
        Ok(bytes) => Some(bytes),
        Err(error) => {
            eprintln!("skipped: sample {name} is not at hand ({error})");
            None
        }
    }
}

#[test]
fn the_samples_are_understood() {
    let Some(kospi) = sample("kospi_code.mst") else { return };
    let master = Master::parse(MasterKind::Kospi, &kospi).unwrap();
    assert_eq!(master.faults, []);
    assert_eq!(master.records.len(), 2);
    let hynix = &master.records[0];
    assert_eq!((hynix.code.as_str(), hynix.name.as_str()), ("000660", "SK하이닉스"));
    assert_eq!(hynix.listed_shares, Some(728_002_000));
    assert_eq!(master.records[1], samsung());

    let Some(kosdaq) = sample("kosdaq_code.mst") else { return };
    let master = Master::parse(MasterKind::Kosdaq, &kosdaq).unwrap();
    assert_eq!(master.faults, []);
    let ecopro = &master.records[0];
    assert_eq!((ecopro.code.as_str(), ecopro.name.as_str()), ("247540", "에코프로비엠"));
    assert_eq!(ecopro.base_price, Some(98_700));
    assert_eq!(ecopro.previous_volume, 612_408);
    assert_eq!(ecopro.listed_on, Some("2019-03-05".parse().unwrap()));
    let sectors = [None, Some("1009".parse().unwrap()), Some("1028".parse().unwrap())];
    assert_eq!(ecopro.sectors, sectors);
    assert!(ecopro.kosdaq150 && ecopro.krx300 && ecopro.is_ordinary_share());
    assert_eq!(ecopro.market(), Market::Kosdaq);
}

#[test]
fn sectors_by_code() {
    let mut bytes = Vec::new();
    for (code, name) in [("00001", "종합"), ("11001", "KOSDAQ"), ("22001", "KOSPI200")] {
        let mut line = code.as_bytes().to_vec();
        line.extend(EUC_KR.encode(name).0.iter());
        line.resize(45, b' ');
        bytes.extend(line);
        bytes.push(b'\n');
    }
    if let Some(sample) = sample("idxcode.mst") {
        let names = Sectors::parse(&sample).unwrap();
        assert_eq!(names.faults, []);
        assert_eq!(names.records[1].name, "대형주");
    }
    let read = Sectors::parse(&bytes).unwrap();
    assert_eq!(read.faults, []);
    let read: Vec<_> = read.records.iter().map(|s| (s.code.as_str(), s.name.as_str())).collect();
    assert_eq!(read, [("0001", "종합"), ("1001", "KOSDAQ"), ("2001", "KOSPI200")]);
    bytes.extend(b"0!!!!");
    bytes.extend([b' '; 40]);
    assert_eq!(Sectors::parse(&bytes).unwrap().faults.len(), 1);
}

#[test]
fn a_bad_line_does_not_keep_the_others() {
    let good = encode(&samsung());
    let mut bytes = good.clone();
    let mut bad = good.clone();
    bad[BASE_PRICE.offset(MasterKind::Kospi)] = b'x';
    bytes.extend(&bad);
    bytes.extend(b"short\n");
    bytes.extend(&good[..288]);
    let master = Master::parse(MasterKind::Kospi, &bytes).unwrap();
    assert_eq!(master.records, [samsung(), samsung()]);
    let texts: Vec<String> = master.faults.iter().map(ToString::to_string).collect();
    assert_eq!(
        texts,
        [
            "kospi_code.mst, line 2, byte 102: stck_sdpr is \"x00071200\", expected digits padded \
             with zeros, or blank",
            "kospi_code.mst, line 3: 5 bytes, expected 288 and LF without CR",
        ]
    );
}

#[test]
fn every_field_is_checked() {
    let kind = MasterKind::Kospi;
    for (field, value) in [
        (&CODE, &b"         "[..]),
        (&CODE, b"00 5930  "),
        (&ISIN, b"KR7-05930003"),
        (&NAME, b"\xff"),
        (&GROUP, b"s?"),
        (&SIZE, b"4"),
        (&SECTORS[1], b"00-1"),
        (&KOSPI200, b"-"),
        (&KRX300, b"?"),
        (&ETP, b"6"),
        (&ALARM, b"04"),
        (&EX_RIGHTS, b"08"),
        (&FACE_VALUE_CHANGE, b"03"),
        (&PREFERRED, b"3"),
        (&LISTED_ON, b"20230230"),
        (&LISTED_THOUSANDS, b"-00000000000001"),
        (&MARGIN_RATE, b" 20"),
    ] {
        let mut bytes = encode(&samsung());
        bytes[field.offset(kind)..][..value.len()].copy_from_slice(value);
        match Master::parse(kind, &bytes) {
            Err(MasterError::NoRecord {
                first: LineError::Field { field: name, offset, .. },
                ..
            }) => {
                assert_eq!((name, offset), (field.name, field.offset(kind)));
            }
            other => panic!("{} {value:?}: {other:?}", field.name),
        }
    }
}

#[test]
fn files_that_are_none() {
    let parse = |bytes: &[u8]| Master::parse(MasterKind::Kosdaq, bytes).unwrap_err().to_string();
    assert!(parse(b"PK\x03\x04rest").contains("zip archive"));
    assert!(parse(b"").contains("is empty"));
    assert!(parse(b"\n").contains("is empty"));
    let other = parse(&encode(&samsung()));
    assert!(other.contains("another market") && other.contains("288 bytes"), "{other}");
    let crlf = [&encode(&samsung())[..288], b"\r\n"].concat();
    let error = Master::parse(MasterKind::Kospi, &crlf).unwrap_err().to_string();
    assert!(error.contains("289 bytes, expected 288"), "{error}");
}

#[test]
fn both_files_of_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let kosdaq = MasterRecord { kind: MasterKind::Kosdaq, kospi200_sector: None, ..samsung() };
    std::fs::write(folder.path().join("kospi_code.mst"), encode(&samsung())).unwrap();
    let error = Master::load(folder.path()).unwrap_err().to_string();
    assert!(error.contains("kosdaq_code.mst") && error.contains("zip"), "{error}");
    std::fs::write(folder.path().join("kosdaq_code.mst"), encode(&kosdaq)).unwrap();
    let [first, second] = Master::load(folder.path()).unwrap();
    assert_eq!((first.records, second.records), (vec![samsung()], vec![kosdaq]));
}

#[test]
fn what_an_issue_is() {
    let share = samsung();
    assert!(share.is_ordinary_share());
    assert_eq!((share.market(), share.product()), (Market::Kospi, Product::Share));
    for no in [
        MasterRecord { preferred: Preferred::New, ..samsung() },
        MasterRecord { spac: true, ..samsung() },
        MasterRecord { halted: true, ..samsung() },
        MasterRecord { group: Group::Reit, ..samsung() },
    ] {
        assert!(!no.is_ordinary_share(), "{no:?}");
        assert_eq!(no.market(), Market::Kospi);
    }
    let etf = MasterRecord { group: Group::Etf, etp: EtpKind::Beneficiary, ..samsung() };
    assert_eq!((etf.market(), etf.product()), (Market::Other, Product::ExchangeTraded));
    let note = MasterRecord { code: "Q520057".into(), etp: EtpKind::Etn, ..samsung() };
    assert_eq!((note.market(), note.product()), (Market::Other, Product::ExchangeTraded));
    let warrant = MasterRecord { group: Group::Elw, ..samsung() };
    assert_eq!((warrant.market(), warrant.product()), (Market::Other, Product::Share));
}

#[test]
fn references() {
    let reference = samsung().reference().unwrap();
    assert_eq!(reference.symbol.as_str(), "005930");
    assert_eq!(reference.name, "삼성전자");
    assert_eq!(reference.base_price, Some(71_200));
    assert_eq!(reference.previous_volume, Some(13_482_115));
    assert_eq!(reference.listed_shares, Some(5_919_637_000));
    assert!(reference.closes.is_empty());
    let fund = MasterRecord { code: "F70100022".into(), ..samsung() };
    assert_eq!((fund.symbol(), fund.reference()), (None, None));
    let new = MasterRecord { previous_volume: 0, ..samsung() };
    assert_eq!(new.reference().unwrap().previous_volume, None);
}

fn amount(digits: u32, unit: i64) -> impl Strategy<Value = Option<i64>> {
    (0..10_i64.pow(digits)).prop_map(move |n| (n > 0).then_some(n * unit))
}

fn flags() -> impl Strategy<Value = [bool; 6]> {
    any::<[bool; 6]>()
}

prop_compose! {
    fn texts()(
        code in "[0-9A-Z]{6,9}",
        isin in "[A-Z]{2}[0-9A-Z]{10}",
        name in "([가-힣]{0,12}|[A-Z0-9가-힣&]{1,10}( [가-힣]{1,9})?)",
        sectors in proptest::array::uniform3(proptest::option::of("[0-2][0-9]{2}[1-9]")),
        group in prop_oneof![
            (0..GROUPS.len()).prop_map(|i| GROUPS[i].1),
            Just(Group::Other(*b"ZZ")),
        ],
    ) -> MasterRecord {
        let sectors = sectors.map(|code| code.map(|code| code.parse().unwrap()));
        MasterRecord { code, isin, name, sectors, group, ..samsung() }
    }
}

prop_compose! {
    fn codes()(
        size in proptest::sample::select(SizeClass::ALL),
        etp in proptest::sample::select(EtpKind::ALL),
        alarm in proptest::sample::select(AlarmClass::ALL),
        ex_rights in proptest::sample::select(ExRights::ALL),
        face_value_change in proptest::sample::select(FaceValueChange::ALL),
        preferred in proptest::sample::select(Preferred::ALL),
        base in texts(),
    ) -> MasterRecord {
        MasterRecord { size, etp, alarm, ex_rights, face_value_change, preferred, ..base }
    }
}

prop_compose! {
    fn records()(
        base_price in amount(9, 1),
        lot in amount(5, 1),
        margin_rate in proptest::option::of(0..1_000i64),
        previous_volume in 0..1_000_000_000_000i64,
        face_value in amount(12, 1),
        listed_on in proptest::option::of((-20_000..40_000).prop_map(SessionDay::from_epoch_days)),
        listed_shares in amount(15, SHARES_UNIT),
        previous_market_value in amount(9, MARKET_VALUE_UNIT),
        [spac, halted, liquidation, administrative, krx300, member] in flags(),
        sector in "[1-9AB]",
        kosdaq in any::<bool>(),
        base in codes(),
    ) -> MasterRecord {
        let kind = if kosdaq { MasterKind::Kosdaq } else { MasterKind::Kospi };
        let kospi200_sector = sector.chars().next().filter(|_| member && !kosdaq);
        MasterRecord {
            kind, base_price, lot, margin_rate, previous_volume, face_value, listed_on,
            listed_shares, previous_market_value, spac, halted, liquidation, administrative, krx300,
            kospi200_sector, kosdaq150: member && kosdaq, ..base
        }
    }
}

proptest! {
    #[test]
    fn records_round_trip(record in records()) {
        let master = Master::parse(record.kind, &encode(&record)).unwrap();
        prop_assert_eq!(master.faults, []);
        prop_assert_eq!(master.records, [record]);
    }

    #[test]
    fn no_bytes_make_it_panic(
        bytes in proptest::collection::vec(any::<u8>(), 0..900),
        at in 0..288usize,
        damage in proptest::collection::vec(any::<u8>(), 1..20),
    ) {
        for kind in MasterKind::ALL {
            drop(Master::parse(kind, &bytes));
        }
        drop(Sectors::parse(&bytes));
        // A good line and a damaged one: whatever becomes of the second, the first is read.
        let good = encode(&samsung());
        let mut bad = good.clone();
        for (byte, damage) in bad[at..288].iter_mut().zip(damage) {
            *byte = damage;
        }
        let master = Master::parse(MasterKind::Kospi, &[good, bad].concat()).unwrap();
        prop_assert_eq!(&master.records[0], &samsung());
        prop_assert!(master.records.len() + master.faults.len() >= 2);
    }
}
