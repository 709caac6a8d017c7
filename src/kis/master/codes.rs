//! Fields that hold one of a few codes.

/// A value written as a code of fixed width.
pub(super) trait Code: Sized {
    /// The codes there are, for an error.
    const EXPECTED: &'static str;

    /// The value of a code; `None` when there is no such code.
    fn of(code: &[u8]) -> Option<Self>;
}

/// An enum of codes. The first code of a value is the one KIS writes; the others mean the same.
macro_rules! codes {
    (
        $(#[$about:meta])*
        $name:ident, $expected:literal {
            $($(#[$meaning:meta])* $value:ident = $code:literal $(| $same:literal)*,)+
        }
    ) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$meaning])* $value,)+
        }

        impl Code for $name {
            const EXPECTED: &'static str = $expected;

            fn of(code: &[u8]) -> Option<Self> {
                match code {
                    $($code $(| $same)* => Some(Self::$value),)+
                    _ => None,
                }
            }
        }

        #[cfg(test)]
        impl $name {
            /// All values.
            pub(super) const ALL: &[Self] = &[$(Self::$value,)+];

            /// The code of a value.
            pub(super) const fn code(self) -> &'static [u8] {
                match self {
                    $(Self::$value => $code,)+
                }
            }
        }
    };
}

codes! {
    /// Class by market value.
    SizeClass, "0, 1, 2, 3 or blank" {
        /// In none.
        None = b"0" | b" ",
        /// Large; on KOSDAQ the KOSDAQ100.
        Large = b"1",
        /// Middle; on KOSDAQ the MID300.
        Mid = b"2",
        /// Small.
        Small = b"3",
    }
}

codes! {
    /// Kind of exchange-traded product (ETP 상품구분).
    EtpKind, "0 to 5 or blank" {
        /// None.
        None = b"0" | b" ",
        /// ETF of the company kind.
        Company = b"1",
        /// ETF of the beneficiary kind.
        Beneficiary = b"2",
        /// Exchange-traded note.
        Etn = b"3",
        /// Exchange-traded note with limited loss.
        LossLimitedEtn = b"4",
        /// Listed fund.
        ListedFund = b"5",
    }
}

codes! {
    /// Market alarm (시장경고).
    AlarmClass, "00, 01, 02, 03 or blank" {
        /// None.
        None = b"00" | b"  ",
        /// Caution (투자주의).
        Caution = b"01",
        /// Warning (투자경고).
        Warning = b"02",
        /// Risk (투자위험).
        Risk = b"03",
    }
}

codes! {
    /// Ex-rights mark (락구분): what the base price of the day is adjusted for.
    ExRights, "00 to 07, 99 or blank" {
        /// None.
        None = b"00" | b"  ",
        /// Rights (권리락).
        Rights = b"01",
        /// Dividend (배당락).
        Dividend = b"02",
        /// Distribution (분배락).
        Distribution = b"03",
        /// Rights and dividend (권배락).
        RightsAndDividend = b"04",
        /// Interim dividend (중간배당락).
        InterimDividend = b"05",
        /// Rights and interim dividend (권리중간배당락).
        RightsAndInterimDividend = b"06",
        /// Rights and quarterly dividend (권리분기배당락).
        RightsAndQuarterlyDividend = b"07",
        /// Another reason.
        Other = b"99",
    }
}

codes! {
    /// Change of the face value (액면가 변경).
    FaceValueChange, "00, 01, 02, 99 or blank" {
        /// None.
        None = b"00" | b"  ",
        /// Split (액면분할).
        Split = b"01",
        /// Merge (액면병합).
        Merge = b"02",
        /// Another.
        Other = b"99",
    }
}

codes! {
    /// Common or preferred (우선주 구분).
    Preferred, "0, 1, 2 or blank" {
        /// Common share, or no share at all.
        Common = b"0" | b" ",
        /// Preferred share of the old kind (구형우선주).
        Old = b"1",
        /// Preferred share of the new kind (신형우선주).
        New = b"2",
    }
}

/// Kind of security (증권그룹구분).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Group {
    /// Share (주권).
    Share,
    /// Share of an investment company.
    InvestmentCompany,
    /// Real-estate investment trust (부동산투자회사).
    Reit,
    /// Ship investment company.
    ShipInvestment,
    /// Infrastructure fund.
    Infrastructure,
    /// Depositary receipt.
    DepositaryReceipt,
    /// Foreign share.
    ForeignShare,
    /// Exchange-traded fund.
    Etf,
    /// Foreign ETF.
    ForeignEtf,
    /// Exchange-traded note.
    Etn,
    /// Equity-linked warrant.
    Elw,
    /// Warrant.
    Warrant,
    /// Subscription right.
    SubscriptionRight,
    /// Beneficiary certificate.
    Beneficiary,
    /// A kind added since, by its two letters.
    Other([u8; 2]),
}

/// The groups by code.
pub(super) const GROUPS: [(&[u8; 2], Group); 14] = [
    (b"ST", Group::Share),
    (b"MF", Group::InvestmentCompany),
    (b"RT", Group::Reit),
    (b"SC", Group::ShipInvestment),
    (b"IF", Group::Infrastructure),
    (b"DR", Group::DepositaryReceipt),
    (b"FS", Group::ForeignShare),
    (b"EF", Group::Etf),
    (b"FE", Group::ForeignEtf),
    (b"EN", Group::Etn),
    (b"EW", Group::Elw),
    (b"SW", Group::Warrant),
    (b"SR", Group::SubscriptionRight),
    (b"BC", Group::Beneficiary),
];

impl Group {
    /// Whether it trades by the rules of shares on its board.
    #[must_use]
    pub const fn trades_as_share(self) -> bool {
        matches!(
            self,
            Self::Share
                | Self::InvestmentCompany
                | Self::Reit
                | Self::ShipInvestment
                | Self::Infrastructure
                | Self::DepositaryReceipt
                | Self::ForeignShare
        )
    }
}

impl Code for Group {
    const EXPECTED: &'static str = "two capital letters, for example ST";

    fn of(code: &[u8]) -> Option<Self> {
        let code: [u8; 2] = code.try_into().ok()?;
        let known = GROUPS.iter().find(|(known, _)| **known == code);
        let other = || code.iter().all(u8::is_ascii_uppercase).then_some(Self::Other(code));
        known.map(|(_, group)| *group).or_else(other)
    }
}
