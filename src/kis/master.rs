//! Symbol master files (종목 마스터, `.mst`): every issue of a market as of this morning.
//!
//! Input: the bytes of `kospi_code.mst`, `kosdaq_code.mst` or `idxcode.mst`, which KIS publishes
//! every business day: lines of a fixed width in bytes, cp949, each ended by LF. Output: typed
//! records ([`MasterRecord`], [`Sector`]), with thousands of shares and hundreds of millions of
//! won already multiplied out.
//!
//! Limits: of some 75 fields those are read that Bongsu has a use for; the others are not checked.
//! Zip archives are not unpacked. KONEX is not read.
//!
//! Failure modes: a line of another width, or with a field that is not what it should be, is a
//! [`LineError`] of its own and the other lines are read. A file without one good line (an
//! archive, the file of another market, a changed layout) is a [`MasterError`].

mod codes;
mod line;
mod sectors;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use crate::market::{Market, Product, Reference, SessionDay, Symbol, Won};

pub use codes::{AlarmClass, EtpKind, ExRights, FaceValueChange, Group, Preferred, SizeClass};
pub use sectors::{Sector, Sectors};

/// Which of the two layouts a file has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MasterKind {
    /// `kospi_code.mst`.
    Kospi,
    /// `kosdaq_code.mst`.
    Kosdaq,
}

impl MasterKind {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Kospi, Self::Kosdaq];

    /// Name of the file, as it is in the archive.
    #[must_use]
    pub const fn file_name(self) -> &'static str {
        match self {
            Self::Kospi => "kospi_code.mst",
            Self::Kosdaq => "kosdaq_code.mst",
        }
    }

    /// Bytes of a line, without its LF.
    #[must_use]
    pub const fn width(self) -> usize {
        match self {
            Self::Kospi => 288,
            Self::Kosdaq => 282,
        }
    }

    const fn board(self) -> Market {
        match self {
            Self::Kospi => Market::Kospi,
            Self::Kosdaq => Market::Kosdaq,
        }
    }
}

/// Why a master file gives nothing.
#[derive(Debug, thiserror::Error)]
pub enum MasterError {
    /// The file is not there, or cannot be read.
    #[error(
        "cannot read the symbol master {}: {source}; \
         expected the unpacked file (zip archives are not read)", path.display()
    )]
    Read {
        /// The file asked for.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The bytes are those of a zip archive.
    #[error("{file} is a zip archive, which is not read: unpack it and give the .mst file inside")]
    Zipped {
        /// Name of the file.
        file: &'static str,
    },
    /// There is no line in it.
    #[error("{file} is empty: expected lines of {width} bytes; download it again")]
    Empty {
        /// Name of the file.
        file: &'static str,
        /// Bytes of a line.
        width: usize,
    },
    /// Not one line could be read.
    #[error(
        "none of the {lines} lines of {file} could be read: is it the file of another market, or \
         a newer layout? The first: {first}"
    )]
    NoRecord {
        /// Name of the file.
        file: &'static str,
        /// Lines in it.
        lines: usize,
        /// What is wrong with the first.
        first: LineError,
    },
}

/// Why one line of a master file gives no record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    /// A line of another width; its fields cannot be told apart.
    #[error("{file}, line {line}: {width} bytes, expected {expected} and LF without CR")]
    Width {
        /// Name of the file.
        file: &'static str,
        /// Line, from 1.
        line: usize,
        /// Bytes it has.
        width: usize,
        /// Bytes it should have.
        expected: usize,
    },
    /// A field that is not what it should be.
    #[error("{file}, line {line}, byte {offset}: {field} is \"{value}\", expected {expected}")]
    Field {
        /// Name of the file.
        file: &'static str,
        /// Line, from 1.
        line: usize,
        /// Where the field begins in the line, bytes from 0.
        offset: usize,
        /// KIS's name of the field.
        field: &'static str,
        /// What it holds; what is not cp949 is shown as `\u{fffd}`.
        value: String,
        /// What it may hold.
        expected: &'static str,
    },
}

/// What a master file says of one issue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MasterRecord {
    /// File it stands in.
    pub kind: MasterKind,
    /// Short code (단축코드): 6 characters for shares, `Q` and 6 for ETN, up to 9 for funds.
    pub code: String,
    /// ISIN (표준코드).
    pub isin: String,
    /// Korean name.
    pub name: String,
    /// Kind of security (증권그룹구분).
    pub group: Group,
    /// Class by market value (시가총액 규모).
    pub size: SizeClass,
    /// Sector codes of the market's indices, large, middle and small (지수 업종 대·중·소분류).
    pub sectors: [Option<Symbol>; 3],
    /// Sector within KOSPI200 as KIS codes it, `1`–`9`, `A`, `B`; `None` when not in the index.
    pub kospi200_sector: Option<char>,
    /// In KOSDAQ150.
    pub kosdaq150: bool,
    /// In KRX300.
    pub krx300: bool,
    /// Kind of exchange-traded product.
    pub etp: EtpKind,
    /// Special purpose acquisition company (기업인수목적회사).
    pub spac: bool,
    /// Base price of the day (기준가), won.
    pub base_price: Option<Won>,
    /// Lot of the regular market, shares.
    pub lot: Option<i64>,
    /// Trading halted (거래정지).
    pub halted: bool,
    /// Liquidation trading before delisting (정리매매).
    pub liquidation: bool,
    /// Administrative issue (관리종목).
    pub administrative: bool,
    /// Market alarm (시장경고).
    pub alarm: AlarmClass,
    /// Ex-rights mark of the day (락구분).
    pub ex_rights: ExRights,
    /// Change of the face value (액면가 변경).
    pub face_value_change: FaceValueChange,
    /// Margin rate (증거금 비율), percent.
    pub margin_rate: Option<i64>,
    /// Volume of the previous session, shares.
    pub previous_volume: i64,
    /// Face value, won; `None` for issues without.
    pub face_value: Option<Won>,
    /// First day of listing.
    pub listed_on: Option<SessionDay>,
    /// Shares listed, to the thousand.
    pub listed_shares: Option<i64>,
    /// Common or preferred.
    pub preferred: Preferred,
    /// Market value of the previous session, won, to the hundred million.
    pub previous_market_value: Option<Won>,
}

impl MasterRecord {
    /// Whether this is a common share that trades today: no preferred share, fund, SPAC or halted
    /// issue.
    #[must_use]
    pub fn is_ordinary_share(&self) -> bool {
        self.group == Group::Share
            && self.preferred == Preferred::Common
            && !self.spac
            && !self.halted
    }

    /// The board; [`Market::Other`] for what is no share and trades by rules of its own.
    #[must_use]
    pub fn market(&self) -> Market {
        if self.group.trades_as_share() && self.product() == Product::Share {
            self.kind.board()
        } else {
            Market::Other
        }
    }

    /// What is traded, as far as tick sizes go.
    #[must_use]
    pub fn product(&self) -> Product {
        let note = matches!(self.etp, EtpKind::Etn | EtpKind::LossLimitedEtn);
        if note || matches!(self.group, Group::Etf | Group::ForeignEtf | Group::Etn) {
            Product::ExchangeTraded
        } else {
            Product::Share
        }
    }

    /// The code as the feed knows it; `None` for the long codes of funds, which it does not carry.
    #[must_use]
    pub fn symbol(&self) -> Option<Symbol> {
        Symbol::from_bytes(self.code.as_bytes())
    }

    /// What a master file tells of an issue before its first tick; it has no daily history.
    /// `None` as for [`Self::symbol`].
    #[must_use]
    pub fn reference(&self) -> Option<Reference> {
        Some(Reference {
            name: self.name.clone(),
            market: self.market(),
            base_price: self.base_price,
            previous_volume: (self.previous_volume > 0).then_some(self.previous_volume),
            listed_shares: self.listed_shares,
            ..Reference::bare(self.symbol()?)
        })
    }
}

/// A master file as read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Master {
    /// Its layout.
    pub kind: MasterKind,
    /// The issues, in the order of the file.
    pub records: Vec<MasterRecord>,
    /// The lines that could not be read, in order.
    pub faults: Vec<LineError>,
}

impl Master {
    /// Reads the bytes of a master file.
    ///
    /// # Errors
    /// [`MasterError`] when there is not one good line; single bad lines are in [`Self::faults`].
    pub fn parse(kind: MasterKind, bytes: &[u8]) -> Result<Self, MasterError> {
        let file = kind.file_name();
        let (records, faults) = line::each(file, kind.width(), bytes, |line| line.record(kind))?;
        Ok(Self { kind, records, faults })
    }

    /// Reads `kospi_code.mst` and `kosdaq_code.mst` in `folder`.
    ///
    /// # Errors
    /// [`MasterError`] of the first file that gives nothing.
    pub fn load(folder: &Path) -> Result<[Self; 2], MasterError> {
        let one = |kind: MasterKind| {
            let path = folder.join(kind.file_name());
            let bytes =
                std::fs::read(&path).map_err(|source| MasterError::Read { path, source })?;
            Self::parse(kind, &bytes)
        };
        Ok([one(MasterKind::Kospi)?, one(MasterKind::Kosdaq)?])
    }
}
