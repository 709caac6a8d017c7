//! What tokens cost.

/// Prices by model, US dollars a million tokens.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Prices(Vec<(String, f64, f64)>);

/// Why a price table cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "\"{0}\" is no price; expected model=prompt/completion in US dollars a million tokens, for example gpt-4o-mini=0.15/0.60"
)]
pub struct PriceError(String);

impl Prices {
    /// Reads `model=prompt/completion, …`.
    ///
    /// # Errors
    /// The entry that cannot be read.
    pub fn parse(text: &str) -> Result<Self, PriceError> {
        let entries = text.split([',', ';']).map(str::trim).filter(|entry| !entry.is_empty());
        let read = |entry: &str| {
            let (model, prices) = entry.split_once('=')?;
            let (prompt, completion) = prices.split_once('/')?;
            let price = |text: &str| {
                let price: f64 = text.trim().parse().ok()?;
                (price.is_finite() && (0.0..=10_000.0).contains(&price)).then_some(price)
            };
            let model = model.trim();
            (!model.is_empty()).then_some((model.to_owned(), price(prompt)?, price(completion)?))
        };
        let prices = entries.map(|entry| read(entry).ok_or_else(|| PriceError(entry.to_owned())));
        let mut prices = prices.collect::<Result<Vec<_>, _>>()?;
        // The most exact name first: `gpt-4o` must not price `gpt-4o-mini`.
        prices.sort_by_key(|(model, ..)| std::cmp::Reverse(model.len()));
        Ok(Self(prices))
    }

    /// Millionths of a dollar for a call; 0 for a model that is not in the table.
    #[must_use]
    pub fn cost_micros(&self, model: &str, prompt_tokens: u32, completion_tokens: u32) -> i64 {
        let price = self.0.iter().find(|(name, ..)| model.starts_with(name.as_str()));
        price.map_or(0, |(_, prompt, completion)| {
            // A dollar a million tokens is a millionth a token.
            let cost =
                f64::from(prompt_tokens) * prompt + f64::from(completion_tokens) * completion;
            cost.ceil() as i64
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices() {
        let prices = Prices::parse("gpt-4o=2.5/10, gpt-4o-mini=0.15/0.60").unwrap();
        assert_eq!(prices.cost_micros("gpt-4o-mini", 1_000_000, 1_000_000), 750_000);
        assert_eq!(prices.cost_micros("gpt-4o-2024-08-06", 1_000, 100), 3_500);
        assert_eq!(prices.cost_micros("llama", 1_000, 100), 0);
        assert_eq!(Prices::parse("").unwrap(), Prices::default());
        for bad in ["gpt", "gpt=1", "gpt=a/b", "=1/2", "gpt=-1/2", "gpt=NaN/2"] {
            assert!(Prices::parse(bad).unwrap_err().to_string().contains(bad), "{bad}");
        }
    }
}
