//! The client against the built-in simulator.

use super::super::super::sim::{SimOptions, Simulator};
use super::*;
use crate::market::TimeOfDay;

#[tokio::test]
async fn every_quotation_of_the_simulator_is_understood() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let options = SimOptions {
        hold: true,
        app_key: Some("KEY".into()),
        app_secret: Some("SECRET".into()),
        ..SimOptions::default()
    };
    let sim = Simulator::load(options).unwrap().start().await.unwrap();
    let options = KisOptions {
        calls_per_second: None,
        token_cooldown: Duration::ZERO,
        ..KisOptions::new(Environment::Real, sim.rest_url(), "KEY".into(), "SECRET".into())
    };
    let client = KisClient::new(options).unwrap();
    let (symbol, day) = (sim.references[0].symbol, sim.session_day());
    assert!(client.inquire_price(symbol).await.unwrap().base_price.is_some());
    client.latest_trades(symbol).await.unwrap();
    let closes = client.daily_prices(symbol).await.unwrap();
    assert!(closes.iter().all(|row| row.day <= day));
    let chart = client.daily_bars(symbol, SessionDay::from_epoch_days(0), day).await.unwrap();
    assert!(chart.bars.len() <= 100);
    let [open, close]: [TimeOfDay; 2] = ["09:00", "15:30"].map(|text| text.parse().unwrap());
    client.minute_bars(symbol, close).await.unwrap();
    let bars = client.minute_bars_between(symbol, day, open, close).await.unwrap();
    assert!(bars.windows(2).all(|pair| pair[0].start < pair[1].start));
    assert_eq!(client.order_book(symbol).await.unwrap().symbol, symbol);
    let index = "0001".parse().unwrap();
    assert!(client.index_price(index).await.unwrap().level > 0);
    let through = SessionDay::from_epoch_days(day.epoch_days() + 60);
    let days = client.holidays(day, through).await.unwrap();
    assert_eq!((days[0].day, days.last().unwrap().day), (day, through));
    assert!(days.windows(2).all(|pair| pair[0].day.next() == pair[1].day));
    assert_eq!(client.hashkey(&json!({"PDNO": "005930"})).await.unwrap().len(), 64);
    assert!(client.clock_skew().is_some());
    assert!(client.revoke_token().await.unwrap());
    client.inquire_price(symbol).await.unwrap();
    sim.stop().await;
}
