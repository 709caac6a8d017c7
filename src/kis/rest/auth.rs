//! Tokens, WebSocket keys, hashes.

use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use super::super::KisError;
use super::super::error::TransportFault;
use super::super::token::AccessToken;
use super::{KisClient, secret_header};

impl KisClient {
    /// The access token: from memory, from disk, or newly issued. A token that nears its end is given
    /// out while another one is asked for beside it.
    ///
    /// # Errors
    /// When KIS issues none, another process holds the token's lock too long, or none is kept and
    /// none may be asked for.
    pub async fn token(&self) -> Result<SecretString, KisError> {
        if !self.inner.options.issue_tokens {
            let kept = self.inner.tokens.only_kept().await;
            return kept.ok_or(KisError::NoToken { endpoint: "token" });
        }
        let Some(found) = self.inner.tokens.found() else {
            return self.inner.tokens.get(|| self.issue_token()).await;
        };
        if found.due {
            let client = self.clone();
            tokio::spawn(async move {
                match client.inner.tokens.renew(|| client.issue_token()).await {
                    Ok(()) => tracing::info!("the kis token was renewed ahead of its end"),
                    Err(error) => {
                        tracing::warn!(%error, "the kis token was not renewed; the old one goes on");
                    }
                }
            });
        }
        Ok(found.secret)
    }

    /// Revokes the token of memory or disk, for all processes. `false` when there is none.
    ///
    /// # Errors
    /// See [`KisError`].
    pub async fn revoke_token(&self) -> Result<bool, KisError> {
        let Some(token) = self.inner.tokens.any().await else { return Ok(false) };
        let options = &self.inner.options;
        let body = json!({
            "appkey": options.app_key.expose_secret(),
            "appsecret": options.app_secret.expose_secret(),
            "token": token.expose_secret(),
        });
        self.repeat(|| self.post("revoke_token", "/oauth2/revokeP", &body, false)).await?;
        self.inner.tokens.forget().await?;
        Ok(true)
    }

    /// A new key for a WebSocket session; valid 24 hours, checked when the session subscribes.
    ///
    /// # Errors
    /// When KIS gives none.
    pub async fn approval_key(&self) -> Result<SecretString, KisError> {
        let options = &self.inner.options;
        let body = json!({
            "grant_type": "client_credentials",
            "appkey": options.app_key.expose_secret(),
            // The same value as the app secret, under another name.
            "secretkey": options.app_secret.expose_secret(),
        });
        let answer =
            self.repeat(|| self.post("approval_key", "/oauth2/Approval", &body, false)).await?;
        match answer.top().text("approval_key") {
            Some(key) => Ok(key.into()),
            None => Err(answer.malformed("no \"approval_key\"".into())),
        }
    }

    /// KIS's hash of a body, as it goes into the header `hashkey` of a request. Nothing is done with
    /// the body.
    ///
    /// # Errors
    /// See [`KisError`].
    pub async fn hashkey(&self, body: &Value) -> Result<String, KisError> {
        let answer = self.repeat(|| self.post("hashkey", "/uapi/hashkey", body, true)).await?;
        match answer.top().text("HASH") {
            Some(hash) => Ok(hash.to_owned()),
            None => Err(answer.malformed("no \"HASH\"".into())),
        }
    }

    async fn issue_token(&self) -> Result<AccessToken, KisError> {
        let options = &self.inner.options;
        let body = json!({
            "grant_type": "client_credentials",
            "appkey": options.app_key.expose_secret(),
            "appsecret": options.app_secret.expose_secret(),
        });
        // What KIS has not seen may be repeated at once; anything else counts as an issue.
        let unseen = |error: &KisError| {
            matches!(error, KisError::Transport { fault: TransportFault::Connect, .. })
        };
        let post = || async {
            let result = self.post("token", "/oauth2/tokenP", &body, false).await;
            result.map_err(|failure| failure.only_if(unseen))
        };
        let issued_at = options.clock.now();
        let answer = self.repeat(post).await?;
        let top = answer.top();
        let token = top
            .text("access_token")
            .ok_or_else(|| answer.malformed("no \"access_token\"".into()))?;
        secret_header("access token", token)?;
        Ok(AccessToken::issued(
            token.into(),
            issued_at,
            top.text("access_token_token_expired"),
            top.integer("expires_in")?,
            self.clock_skew().and_then(|skew| skew.num_microseconds()).unwrap_or(0),
        ))
    }
}
