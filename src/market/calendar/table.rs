//! The facts: weekdays on which KRX was or will be closed, and university entrance test days.
//!
//! Sources: KRX notices and the public-holiday decrees, checked for the past against the days on
//! which the KOSPI index printed.

use crate::market::SessionDay;

/// First day of the table, 2000-01-01.
pub const VALID_FROM: SessionDay = date(20_000_101);
/// Last day of the table, 2027-12-31.
pub const VALID_UNTIL: SessionDay = date(20_271_231);
/// Until this day closures have been seen to happen; later ones are announced or expected.
pub const OBSERVED_UNTIL: SessionDay = date(20_260_821);

/// Weekdays of the future that rest on one source alone.
pub(super) const EXPECTED: [SessionDay; 2] = [date(20_270_503), date(20_270_719)];

/// A date of a table, written `yyyymmdd`; a date that does not exist stops the build.
pub(in crate::market) const fn date(yyyymmdd: u32) -> SessionDay {
    match SessionDay::from_yyyymmdd(yyyymmdd) {
        Some(day) => day,
        None => panic!("a date of the calendar's table does not exist"),
    }
}

/// A cause of closing and the weekdays it closed.
pub(super) struct Holiday {
    pub name: &'static str,
    /// The exchange alone is closed: banks and offices work.
    pub exchange_only: bool,
    /// `yyyymmdd`, ascending.
    pub days: &'static [u32],
}

const fn public(name: &'static str, days: &'static [u32]) -> Holiday {
    Holiday { name, exchange_only: false, days }
}

const fn exchange(name: &'static str, days: &'static [u32]) -> Holiday {
    Holiday { name, exchange_only: true, days }
}

/// Every weekday without a session. May Day was a day off of the exchange, not a public holiday,
/// until 2025.
pub(super) const HOLIDAYS: &[Holiday] = &[
    exchange("Exchange closed (first working day of 2000)", &[20_000_103]),
    public(
        "The day preceding Korean New Year",
        &[
            20_000_204, 20_010_123, 20_020_211, 20_030_131, 20_040_121, 20_050_208, 20_080_206,
            20_110_202, 20_140_130, 20_150_218, 20_170_127, 20_180_215, 20_190_204, 20_200_124,
            20_210_211, 20_220_131, 20_240_209, 20_250_128, 20_260_216,
        ],
    ),
    public(
        "Independence Movement Day",
        &[
            20_000_301, 20_010_301, 20_020_301, 20_040_301, 20_050_301, 20_060_301, 20_070_301,
            20_100_301, 20_110_301, 20_120_301, 20_130_301, 20_160_301, 20_170_301, 20_180_301,
            20_190_301, 20_210_301, 20_220_301, 20_230_301, 20_240_301, 20_270_301,
        ],
    ),
    public("Tree Planting Day", &[20_000_405, 20_010_405, 20_020_405, 20_040_405, 20_050_405]),
    public(
        "National Assembly Election Day",
        &[20_000_413, 20_040_415, 20_080_409, 20_120_411, 20_160_413, 20_200_415, 20_240_410],
    ),
    exchange(
        "Workers' Day",
        &[
            20_000_501, 20_020_501, 20_030_501, 20_060_501, 20_070_501, 20_080_501, 20_090_501,
            20_120_501, 20_130_501, 20_140_501, 20_150_501, 20_170_501, 20_180_501, 20_190_501,
            20_200_501, 20_230_501, 20_240_501, 20_250_501,
        ],
    ),
    public(
        "Children's Day",
        &[
            20_000_505, 20_030_505, 20_040_505, 20_050_505, 20_080_505, 20_090_505, 20_100_505,
            20_110_505, 20_140_505, 20_150_505, 20_160_505, 20_170_505, 20_200_505, 20_210_505,
            20_220_505, 20_230_505, 20_260_505, 20_270_505,
        ],
    ),
    public(
        "Buddha's Birthday",
        &[
            20_000_511, 20_030_508, 20_040_526, 20_070_524, 20_080_512, 20_100_521, 20_110_510,
            20_120_528, 20_130_517, 20_140_506, 20_150_525, 20_170_503, 20_180_522, 20_200_430,
            20_210_519, 20_240_515, 20_270_513,
        ],
    ),
    public(
        "Memorial Day",
        &[
            20_000_606, 20_010_606, 20_020_606, 20_030_606, 20_050_606, 20_060_606, 20_070_606,
            20_080_606, 20_110_606, 20_120_606, 20_130_606, 20_140_606, 20_160_606, 20_170_606,
            20_180_606, 20_190_606, 20_220_606, 20_230_606, 20_240_606, 20_250_606,
        ],
    ),
    public(
        "Constitution Day",
        &[20_000_717, 20_010_717, 20_020_717, 20_030_717, 20_060_717, 20_070_717, 20_260_717],
    ),
    public(
        "Liberation Day",
        &[
            20_000_815, 20_010_815, 20_020_815, 20_030_815, 20_050_815, 20_060_815, 20_070_815,
            20_080_815, 20_110_815, 20_120_815, 20_130_815, 20_140_815, 20_160_815, 20_170_815,
            20_180_815, 20_190_815, 20_220_815, 20_230_815, 20_240_815, 20_250_815,
        ],
    ),
    public(
        "The day preceding Chuseok",
        &[
            20_000_911, 20_020_920, 20_030_910, 20_040_927, 20_061_005, 20_070_924, 20_091_002,
            20_100_921, 20_130_918, 20_160_914, 20_190_912, 20_200_930, 20_210_920, 20_220_909,
            20_230_928, 20_240_916, 20_260_924, 20_270_914,
        ],
    ),
    public(
        "Chuseok",
        &[
            20_000_912, 20_011_001, 20_030_911, 20_040_928, 20_061_006, 20_070_925, 20_100_922,
            20_110_912, 20_130_919, 20_140_908, 20_160_915, 20_171_004, 20_180_924, 20_190_913,
            20_201_001, 20_210_921, 20_230_929, 20_240_917, 20_251_006, 20_260_925, 20_270_915,
        ],
    ),
    public(
        "The second day of Chuseok",
        &[
            20_000_913, 20_011_002, 20_030_912, 20_040_929, 20_050_919, 20_070_926, 20_080_915,
            20_100_923, 20_110_913, 20_121_001, 20_130_920, 20_140_909, 20_150_928, 20_160_916,
            20_171_005, 20_180_925, 20_201_002, 20_210_922, 20_240_918, 20_251_007, 20_270_916,
        ],
    ),
    public(
        "National Foundation Day",
        &[
            20_001_003, 20_011_003, 20_021_003, 20_031_003, 20_051_003, 20_061_003, 20_071_003,
            20_081_003, 20_111_003, 20_121_003, 20_131_003, 20_141_003, 20_161_003, 20_181_003,
            20_191_003, 20_221_003, 20_231_003, 20_241_003, 20_251_003,
        ],
    ),
    public(
        "Christmas Day",
        &[
            20_001_225, 20_011_225, 20_021_225, 20_031_225, 20_061_225, 20_071_225, 20_081_225,
            20_091_225, 20_121_225, 20_131_225, 20_141_225, 20_151_225, 20_171_225, 20_181_225,
            20_191_225, 20_201_225, 20_231_225, 20_241_225, 20_251_225, 20_261_225,
        ],
    ),
    exchange("Exchange closed (year end 2000)", &[20_001_227, 20_001_228]),
    exchange(
        "End of Year Holiday",
        &[
            20_001_229, 20_011_231, 20_021_231, 20_031_231, 20_041_231, 20_051_230, 20_061_229,
            20_071_231, 20_081_231, 20_091_231, 20_101_231, 20_111_230, 20_121_231, 20_131_231,
            20_141_231, 20_151_231, 20_161_230, 20_171_229, 20_181_231, 20_191_231, 20_201_231,
            20_211_231, 20_221_230, 20_231_229, 20_241_231, 20_251_231, 20_261_231, 20_271_231,
        ],
    ),
    public(
        "New Year's Day",
        &[
            20_010_101, 20_020_101, 20_030_101, 20_040_101, 20_070_101, 20_080_101, 20_090_101,
            20_100_101, 20_130_101, 20_140_101, 20_150_101, 20_160_101, 20_180_101, 20_190_101,
            20_200_101, 20_210_101, 20_240_101, 20_250_101, 20_260_101, 20_270_101,
        ],
    ),
    public(
        "Korean New Year",
        &[
            20_010_124, 20_020_212, 20_040_122, 20_050_209, 20_080_207, 20_090_126, 20_110_203,
            20_120_123, 20_140_131, 20_150_219, 20_160_208, 20_180_216, 20_190_205, 20_210_212,
            20_220_201, 20_250_129, 20_260_217,
        ],
    ),
    public(
        "The second day of Korean New Year",
        &[
            20_010_125, 20_020_213, 20_040_123, 20_050_210, 20_060_130, 20_070_219, 20_080_208,
            20_090_127, 20_100_215, 20_110_204, 20_120_124, 20_130_211, 20_150_220, 20_160_209,
            20_190_206, 20_220_202, 20_230_123, 20_250_130, 20_260_218, 20_270_208,
        ],
    ),
    public("Buddha's Birthday; Workers' Day", &[20_010_501]),
    public(
        "Local Election Day",
        &[20_020_613, 20_060_531, 20_100_602, 20_140_604, 20_180_613, 20_220_601, 20_260_603],
    ),
    public("2002 FIFA World Cup National Team Semi-Finals Celebrations", &[20_020_701]),
    public(
        "Presidential Election Day",
        &[20_021_219, 20_071_219, 20_121_219, 20_170_509, 20_220_309, 20_250_603],
    ),
    public("Buddha's Birthday; Children's Day", &[20_060_505, 20_250_505]),
    public(
        "Hangul Day",
        &[
            20_131_009, 20_141_009, 20_151_009, 20_171_009, 20_181_009, 20_191_009, 20_201_009,
            20_231_009, 20_241_009, 20_251_009, 20_261_009,
        ],
    ),
    public(
        "Alternative holiday for Chuseok",
        &[20_140_910, 20_150_929, 20_171_006, 20_180_926, 20_220_912, 20_251_008],
    ),
    public(
        "Temporary Public Holiday",
        &[20_150_814, 20_160_506, 20_171_002, 20_200_817, 20_231_002, 20_250_127],
    ),
    public(
        "Alternative holiday for Korean New Year",
        &[20_160_210, 20_170_130, 20_200_127, 20_230_124, 20_240_212, 20_270_209],
    ),
    public("National Foundation Day; The day preceding Chuseok", &[20_171_003]),
    public("Alternative holiday for Children's Day", &[20_180_507, 20_190_506, 20_240_506]),
    public("Alternative holiday for Liberation Day", &[20_210_816, 20_260_817, 20_270_816]),
    public(
        "Alternative holiday for National Foundation Day",
        &[20_211_004, 20_261_005, 20_271_004],
    ),
    public("Alternative holiday for Hangul Day", &[20_211_011, 20_221_010, 20_271_011]),
    public("Alternative holiday for Buddha's Birthday", &[20_230_529, 20_260_525]),
    public("Armed Forces Day", &[20_241_001]),
    public("Alternative holiday for Independence Movement Day", &[20_250_303, 20_260_302]),
    public(
        "Alternative holiday for Buddha's Birthday; Alternative holiday for Children's Day",
        &[20_250_506],
    ),
    public("Labor Day", &[20_260_501]),
    public("Alternative holiday for Labor Day", &[20_270_503]),
    public("Alternative holiday for Constitution Day", &[20_270_719]),
    public("Alternative holiday for Christmas Day", &[20_271_227]),
];

/// Days of the university entrance test: the session runs an hour late. On 2017-11-16 the test was
/// put off by a week after an earthquake, and the session began late all the same.
pub(super) const ENTRANCE_TESTS: &[u32] = &[
    20_001_115, 20_011_107, 20_021_106, 20_031_105, 20_041_117, 20_051_123, 20_061_116, 20_071_115,
    20_081_113, 20_091_112, 20_101_118, 20_111_110, 20_121_108, 20_131_107, 20_141_113, 20_151_112,
    20_161_117, 20_171_116, 20_171_123, 20_181_115, 20_191_114, 20_201_203, 20_211_118, 20_221_117,
    20_231_116, 20_241_114, 20_251_113, 20_261_119, 20_271_118,
];
