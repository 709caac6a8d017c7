//! Days in columns, from one list of the columns.

/// Makes a table of days (`date` and the named columns, one entry a day in each, ascending) and the
/// type of one of its days.
macro_rules! day_columns {
    (
        $(#[$table_doc:meta])* $table:ident of $(#[$day_doc:meta])* $day:ident {
            $( $(#[$doc:meta])* $column:ident: $kind:ty, )+
        }
    ) => {
        $(#[$table_doc])*
        #[derive(Debug, Clone, Default, PartialEq)]
        pub struct $table {
            /// Days since 1970-01-01.
            pub date: Vec<i32>,
            $( $(#[$doc])* pub $column: Vec<$kind>, )+
        }

        $(#[$day_doc])*
        #[derive(Debug, Clone, Copy, PartialEq)]
        pub struct $day {
            /// Days since 1970-01-01.
            pub date: i32,
            $( $(#[$doc])* pub $column: $kind, )+
        }

        impl $table {
            /// Number of days.
            #[must_use]
            pub fn len(&self) -> usize {
                self.date.len()
            }

            /// Whether there is no day.
            #[must_use]
            pub fn is_empty(&self) -> bool {
                self.date.is_empty()
            }

            /// Day number `at`.
            #[must_use]
            pub fn get(&self, at: usize) -> $day {
                $day { date: self.date[at], $( $column: self.$column[at], )+ }
            }

            /// Adds a day at the end; the caller keeps the order.
            pub fn push(&mut self, day: $day) {
                self.date.push(day.date);
                $( self.$column.push(day.$column); )+
            }

            /// Moves all days of `other` to the end; the caller keeps the order.
            pub fn append(&mut self, other: &mut Self) {
                self.date.append(&mut other.date);
                $( self.$column.append(&mut other.$column); )+
            }

            /// The days before `end`.
            #[must_use]
            pub fn before(&self, end: i32) -> Self {
                let days = self.date.partition_point(|&date| date < end);
                Self {
                    date: self.date[..days].to_vec(),
                    $( $column: self.$column[..days].to_vec(), )+
                }
            }

            /// The days of `self`, and those of `other` that `self` lacks.
            #[must_use]
            pub fn joined(&self, other: &Self) -> Self {
                let (mut a, mut b) = (0, 0);
                let mut joined = Self::default();
                while a < self.len() || b < other.len() {
                    let first = self.date.get(a).copied().unwrap_or(i32::MAX);
                    let second = other.date.get(b).copied().unwrap_or(i32::MAX);
                    if first <= second {
                        joined.push(self.get(a));
                        a += 1;
                        b += usize::from(first == second && b < other.len());
                    } else {
                        joined.push(other.get(b));
                        b += 1;
                    }
                }
                joined
            }
        }
    };
}

pub(super) use day_columns;
