//! Lines of fixed width: the places of the fields and what may stand there.
//!
//! A line is cut by bytes and the pieces are decoded, never the other way round: a Korean character
//! takes two bytes.

use encoding_rs::EUC_KR;

use super::codes::Code;
use super::{LineError, MasterError, MasterKind, MasterRecord};
use crate::market::{SessionDay, Symbol};

/// Where a field stands.
pub(super) struct Field {
    /// KIS's name.
    pub name: &'static str,
    kospi: usize,
    kosdaq: usize,
    pub width: usize,
}

const fn field(name: &'static str, kospi: usize, kosdaq: usize, width: usize) -> Field {
    Field { name, kospi, kosdaq, width }
}

impl Field {
    /// First byte of the field in a line of this kind.
    pub const fn offset(&self, kind: MasterKind) -> usize {
        match kind {
            MasterKind::Kospi => self.kospi,
            MasterKind::Kosdaq => self.kosdaq,
        }
    }
}

pub(super) const CODE: Field = field("mksc_shrn_iscd", 0, 0, 9);
pub(super) const ISIN: Field = field("stnd_iscd", 9, 9, 12);
pub(super) const NAME: Field = field("hts_kor_isnm", 21, 21, 40);
pub(super) const GROUP: Field = field("scrt_grp_cls_code", 61, 61, 2);
pub(super) const SIZE: Field = field("avls_scal_cls_code", 63, 63, 1);
pub(super) const SECTORS: [Field; 3] = [
    field("bstp_larg_div_code", 64, 64, 4),
    field("bstp_medm_div_code", 68, 68, 4),
    field("bstp_smal_div_code", 72, 72, 4),
];
/// KOSPI only.
pub(super) const KOSPI200: Field = field("kospi200_apnt_cls_code", 79, 79, 1);
/// KOSDAQ only.
pub(super) const KOSDAQ150: Field = field("ksq150_nmix_yn", 96, 96, 1);
pub(super) const ETP: Field = field("etp_prod_cls_code", 83, 79, 1);
pub(super) const SPAC: Field = field("etpr_undt_objt_co_yn", 90, 85, 1);
pub(super) const BASE_PRICE: Field = field("stck_sdpr", 102, 97, 9);
pub(super) const LOT: Field = field("frml_mrkt_deal_qty_unit", 111, 106, 5);
pub(super) const HALTED: Field = field("trht_yn", 121, 116, 1);
pub(super) const LIQUIDATION: Field = field("sltr_yn", 122, 117, 1);
pub(super) const ADMINISTRATIVE: Field = field("mang_issu_yn", 123, 118, 1);
pub(super) const ALARM: Field = field("mrkt_alrm_cls_code", 124, 119, 2);
pub(super) const EX_RIGHTS: Field = field("flng_cls_code", 129, 124, 2);
pub(super) const FACE_VALUE_CHANGE: Field = field("fcam_mod_cls_code", 131, 126, 2);
pub(super) const MARGIN_RATE: Field = field("marg_rate", 135, 130, 3);
pub(super) const PREVIOUS_VOLUME: Field = field("prdy_vol", 142, 137, 12);
pub(super) const FACE_VALUE: Field = field("stck_fcam", 154, 149, 12);
pub(super) const LISTED_ON: Field = field("stck_lstn_date", 166, 161, 8);
pub(super) const LISTED_THOUSANDS: Field = field("lstn_stcn", 174, 169, 15);
pub(super) const PREFERRED: Field = field("prst_cls_code", 219, 214, 1);
pub(super) const KRX300: Field = field("krx300_issu_yn", 222, 217, 1);
pub(super) const MARKET_VALUE: Field = field("prdy_avls_scal", 273, 267, 9);

/// Shares in the unit of [`LISTED_THOUSANDS`].
pub(super) const SHARES_UNIT: i64 = 1_000;
/// Won in the unit of [`MARKET_VALUE`].
pub(super) const MARKET_VALUE_UNIT: i64 = 100_000_000;

/// One line of the right width.
pub(super) struct Line<'a> {
    file: &'static str,
    number: usize,
    bytes: &'a [u8],
}

/// Reads each line of `bytes`: the good ones, and what is wrong with the others.
///
/// # Errors
/// [`MasterError`] when there is no good one.
pub(super) fn each<T>(
    file: &'static str,
    width: usize,
    bytes: &[u8],
    read: impl Fn(&Line) -> Result<T, LineError>,
) -> Result<(Vec<T>, Vec<LineError>), MasterError> {
    if bytes.starts_with(b"PK\x03\x04") {
        return Err(MasterError::Zipped { file });
    }
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    if bytes.is_empty() {
        return Err(MasterError::Empty { file, width });
    }
    let (mut records, mut faults) = (Vec::new(), Vec::new());
    for (at, bytes) in bytes.split(|byte| *byte == b'\n').enumerate() {
        let number = at + 1;
        let line = if bytes.len() == width {
            read(&Line { file, number, bytes })
        } else {
            Err(LineError::Width { file, line: number, width: bytes.len(), expected: width })
        };
        match line {
            Ok(record) => records.push(record),
            Err(fault) => faults.push(fault),
        }
    }
    match faults.first() {
        Some(first) if records.is_empty() => {
            Err(MasterError::NoRecord { file, lines: faults.len(), first: first.clone() })
        }
        _ => Ok((records, faults)),
    }
}

/// A field of a line, cut out.
pub(super) struct Piece<'a> {
    line: &'a Line<'a>,
    field: &'static str,
    offset: usize,
    bytes: &'a [u8],
}

impl<'a> Line<'a> {
    /// The bytes of a field. The fields of a layout lie within its width.
    pub fn piece(&'a self, field: &'static str, offset: usize, width: usize) -> Piece<'a> {
        Piece { line: self, field, offset, bytes: &self.bytes[offset..offset + width] }
    }

    /// The record of an issue.
    pub fn record(&self, kind: MasterKind) -> Result<MasterRecord, LineError> {
        let at = |field: &Field| self.piece(field.name, field.offset(kind), field.width);
        let positive = |field| Ok(at(field).number()?.filter(|number| *number > 0));
        let [large, middle, small] = &SECTORS;
        Ok(MasterRecord {
            kind,
            code: at(&CODE).alphanumeric("1 to 9 letters and digits, for example 005930")?,
            isin: at(&ISIN).alphanumeric("an ISIN, for example KR7005930003")?,
            name: at(&NAME).text()?,
            group: at(&GROUP).code()?,
            size: at(&SIZE).code()?,
            sectors: [at(large).sector()?, at(middle).sector()?, at(small).sector()?],
            kospi200_sector: match kind {
                MasterKind::Kospi => at(&KOSPI200).letter()?,
                MasterKind::Kosdaq => None,
            },
            kosdaq150: kind == MasterKind::Kosdaq && at(&KOSDAQ150).flag()?,
            krx300: at(&KRX300).flag()?,
            etp: at(&ETP).code()?,
            spac: at(&SPAC).flag()?,
            base_price: positive(&BASE_PRICE)?,
            lot: positive(&LOT)?,
            halted: at(&HALTED).flag()?,
            liquidation: at(&LIQUIDATION).flag()?,
            administrative: at(&ADMINISTRATIVE).flag()?,
            alarm: at(&ALARM).code()?,
            ex_rights: at(&EX_RIGHTS).code()?,
            face_value_change: at(&FACE_VALUE_CHANGE).code()?,
            margin_rate: at(&MARGIN_RATE).number()?,
            previous_volume: at(&PREVIOUS_VOLUME).number()?.unwrap_or(0),
            face_value: positive(&FACE_VALUE)?,
            listed_on: at(&LISTED_ON).date()?,
            // At most 15 and 9 digits: the products fit.
            listed_shares: positive(&LISTED_THOUSANDS)?.map(|thousands| thousands * SHARES_UNIT),
            preferred: at(&PREFERRED).code()?,
            previous_market_value: positive(&MARKET_VALUE)?.map(|units| units * MARKET_VALUE_UNIT),
        })
    }
}

impl Piece<'_> {
    fn error(&self, expected: &'static str) -> LineError {
        LineError::Field {
            file: self.line.file,
            line: self.line.number,
            offset: self.offset,
            field: self.field,
            value: EUC_KR.decode_without_bom_handling(self.bytes).0.into_owned(),
            expected,
        }
    }

    /// cp949, padded with blanks behind.
    pub fn text(&self) -> Result<String, LineError> {
        let bytes = self.bytes.trim_ascii_end();
        match EUC_KR.decode_without_bom_handling_and_without_replacement(bytes) {
            Some(text) => Ok(text.into_owned()),
            None => Err(self.error("cp949 text")),
        }
    }

    /// ASCII letters and digits, at least one, padded with blanks behind.
    fn alphanumeric(&self, expected: &'static str) -> Result<String, LineError> {
        let bytes = self.bytes.trim_ascii_end();
        match std::str::from_utf8(bytes) {
            Ok(text) if !text.is_empty() && bytes.iter().all(u8::is_ascii_alphanumeric) => {
                Ok(text.to_owned())
            }
            _ => Err(self.error(expected)),
        }
    }

    /// A code of an index sector; zeros or blanks mean none.
    fn sector(&self) -> Result<Option<Symbol>, LineError> {
        if self.is_blank() || self.bytes.iter().all(|byte| *byte == b'0') {
            return Ok(None);
        }
        let expected = "4 letters and digits, zeros or blank";
        Symbol::from_bytes(self.bytes).map(Some).ok_or_else(|| self.error(expected))
    }

    /// One letter or digit; zero or blank means none.
    fn letter(&self) -> Result<Option<char>, LineError> {
        match self.bytes {
            [b'0' | b' '] => Ok(None),
            [byte] if byte.is_ascii_alphanumeric() => Ok(Some(char::from(*byte))),
            _ => Err(self.error("a letter, a digit or blank")),
        }
    }

    /// `Y`, `N`, blank or a digit, zero for no.
    fn flag(&self) -> Result<bool, LineError> {
        match self.bytes {
            [b'Y' | b'1'..=b'9'] => Ok(true),
            [b'N' | b'0' | b' '] => Ok(false),
            _ => Err(self.error("Y, N, blank or a digit")),
        }
    }

    /// Digits, or blank for nothing.
    fn number(&self) -> Result<Option<i64>, LineError> {
        if self.is_blank() {
            return Ok(None);
        }
        let digits = self.bytes.iter().all(u8::is_ascii_digit);
        let text = std::str::from_utf8(self.bytes).ok().filter(|_| digits);
        // At most 15 digits, so this fails for no other reason.
        let number = text.and_then(|text| text.parse().ok());
        number.map(Some).ok_or_else(|| self.error("digits padded with zeros, or blank"))
    }

    /// `yyyymmdd`; zeros or blank mean none.
    fn date(&self) -> Result<Option<SessionDay>, LineError> {
        match self.number()? {
            None | Some(0) => Ok(None),
            Some(number) => {
                let day = u32::try_from(number).ok().and_then(SessionDay::from_yyyymmdd);
                day.map(Some).ok_or_else(|| self.error("a date, yyyymmdd, zeros or blank"))
            }
        }
    }

    /// One of a few codes.
    fn code<T: Code>(&self) -> Result<T, LineError> {
        T::of(self.bytes).ok_or_else(|| self.error(T::EXPECTED))
    }

    /// The code of an index sector, which there must be.
    pub fn symbol(&self) -> Result<Symbol, LineError> {
        Symbol::from_bytes(self.bytes).ok_or_else(|| self.error("4 letters and digits"))
    }

    fn is_blank(&self) -> bool {
        self.bytes.iter().all(|byte| *byte == b' ')
    }
}
