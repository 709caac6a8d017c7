//! `idxcode.mst`: the codes and names of index sectors.

use super::line;
use super::{LineError, MasterError};
use crate::market::Symbol;

/// Name of the file, as it is in the archive.
const FILE: &str = "idxcode.mst";
/// A digit of the market, a code of 4 and a name of 40 bytes.
const WIDTH: usize = 45;

/// An index sector: `0001` 종합 of KOSPI, `1001` KOSDAQ, `2001` KOSPI200.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sector {
    /// Code, as index calls and [`super::MasterRecord::sectors`] have it.
    pub code: Symbol,
    /// Name.
    pub name: String,
}

/// The sector file as read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sectors {
    /// The sectors, in the order of the file.
    pub records: Vec<Sector>,
    /// The lines that could not be read, in order.
    pub faults: Vec<LineError>,
}

impl Sectors {
    /// Reads the bytes of `idxcode.mst`.
    ///
    /// # Errors
    /// [`MasterError`] when there is not one good line; single bad lines are in [`Self::faults`].
    pub fn parse(bytes: &[u8]) -> Result<Self, MasterError> {
        let (records, faults) = line::each(FILE, WIDTH, bytes, |line| {
            Ok(Sector {
                code: line.piece("idx_code", 1, 4).symbol()?,
                name: line.piece("idx_name", 5, 40).text()?,
            })
        })?;
        Ok(Self { records, faults })
    }
}
