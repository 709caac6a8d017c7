use arrow_array::Array;
use proptest::prelude::*;

use super::super::schema::validate;
use super::*;

fn symbol() -> Symbol {
    "005930".parse().unwrap()
}

fn bar(open: i64, volume: i64, minute: i64, kis: bool, is_final: bool) -> StoredBar {
    let key = BarKey::of(symbol(), Interval::Minute, EventTime::from_micros(minute * 60_000_000));
    let bar = Bar {
        key,
        open,
        high: open + 5,
        low: (open - 5).max(1),
        close: open + 1,
        volume,
        amount: volume * open,
        is_final,
    };
    StoredBar { bar, source: if kis { BarSource::Kis } else { BarSource::Trades } }
}

fn order() -> AccountOrder {
    AccountOrder {
        account: "0123456789ab".into(),
        day: "2024-08-05".parse().unwrap(),
        branch: "00950".into(),
        number: "0000001234".into(),
        symbol: symbol(),
        side: Side::Sell,
        time: EventTime::from_micros(1_722_816_000_000_000),
        ordered: 10,
        filled: 4,
        price: 70_000,
    }
}

fn says(result: Result<RecordBatch, SchemaError>, text: &str) {
    let error = result.unwrap_err().to_string();
    assert!(error.contains(text), "{error}");
}

#[test]
fn impossible_values_are_named() {
    let good = bar(100, 5, 3, true, true);
    let change = |change: fn(&mut Bar)| {
        let mut bars = [good, good];
        change(&mut bars[1].bar);
        of_bars(&bars)
    };
    says(change(|bar| bar.volume = 0), "bars: row 1 has volume 0, expected more than 0");
    says(change(|bar| bar.close = 106), "row 1 has close 106");
    says(change(|bar| bar.low = -1), "low -1");
    says(change(|bar| bar.key.start = bar.key.start.plus_micros(1)), "the start of an interval");
    let mut wrong = order();
    wrong.filled = 11;
    says(of_orders(&[wrong]), "orders: row 0 has filled 11, expected at most what was ordered");
    says(of_orders(&[AccountOrder { side: Side::Auction, ..order() }]), "side A");
    says(of_orders(&[AccountOrder { number: "1:2".into(), ..order() }]), "number 1:2");
    let execution =
        Execution { symbol: symbol(), time: order().time, price: 1, quantity: 5, cum_volume: 4 };
    says(of_executions(&[execution]), "cum_volume 4");
}

#[test]
fn foreign_columns_are_named() {
    let orders = of_orders(&[order()]).unwrap();
    let error = validate(Kind::Executions, &orders).unwrap_err().to_string();
    assert!(error.starts_with("executions: the columns are account Utf8, day Date32"), "{error}");
    let nothing = RecordBatch::new_empty(Kind::Bars.schema());
    assert_eq!(validate(Kind::Bars, &nothing), Ok(()));
    let short = nothing.project(&[0, 1]).unwrap();
    assert!(validate(Kind::Bars, &short).unwrap_err().to_string().contains("expected symbol Utf8"));
    assert!(orders.columns().iter().all(|column| column.null_count() == 0));
}

proptest! {
    #[test]
    fn records_come_back(
        rows in prop::collection::vec((1i64..1_000_000, 1i64..1_000, 0i64..9_999, any::<bool>(), any::<bool>()), 0..20),
    ) {
        let bars: Vec<StoredBar> = rows
            .iter()
            .map(|&(open, volume, minute, kis, is_final)| bar(open, volume, minute, kis, is_final))
            .collect();
        prop_assert_eq!(bars_of(&of_bars(&bars).unwrap()).unwrap(), bars);
        let executions: Vec<Execution> = rows
            .iter()
            .map(|&(price, quantity, more, ..)| Execution {
                symbol: symbol(),
                time: EventTime::from_micros(more),
                price,
                quantity,
                cum_volume: quantity + more,
            })
            .collect();
        prop_assert_eq!(executions_of(&of_executions(&executions).unwrap()).unwrap(), executions);
        let orders: Vec<AccountOrder> = rows
            .iter()
            .map(|&(price, filled, more, buys, _)| AccountOrder {
                filled,
                ordered: filled + more,
                price,
                side: if buys { Side::Buy } else { Side::Sell },
                ..order()
            })
            .collect();
        prop_assert_eq!(orders_of(&of_orders(&orders).unwrap()).unwrap(), orders);
    }
}
