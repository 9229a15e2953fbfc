//! Who is given asset tokens, and for how long.

use crate::http::{asset_path, variant_name};
use crate::store::Store;
use crate::tokens::{self, Scope};
use access::rules::VIEW;
use access::Call;
use ic_stable_structures::Memory as StableMemory;
use types::limits::{MAX_TOKENS, MAX_TOKEN_SECONDS};
use types::*;

const SECOND: u64 = 1_000_000_000;

impl<M: StableMemory> Store<M> {
    /// Tokens for assets that the caller may view, good for that many seconds.
    pub fn asset_tokens(
        &self,
        call: &Call,
        capsule: &str,
        wanted: &[AssetRef],
        valid_seconds: u64,
    ) -> Answer<Vec<AssetToken>> {
        let access = self.reading(call, capsule)?;
        check::list("assets", wanted, MAX_TOKENS)?;
        if valid_seconds > MAX_TOKEN_SECONDS {
            return Err(Error::Invalid(format!("a token is good for {MAX_TOKEN_SECONDS} seconds at most")));
        }
        let secret = self.registry.get(capsule)?.token_secret;
        let secret = secret.ok_or_else(|| Error::Conflict("this canister signs no more tokens".into()))?;
        let expires = call.at / SECOND + valid_seconds;
        let token = |asset: &AssetRef| {
            self.allow_read(call, &access, &Resource::Memory(asset.memory_id.clone()), VIEW)?;
            let memory: Memory = self.records.get(capsule, &asset.memory_id)?;
            if !memory.assets.iter().any(|other| other.variant_ == asset.variant_) {
                return Err(Error::NotFound(format!("{:?} of memory {}", asset.variant_, asset.memory_id)));
            }
            let scope = Scope {
                capsule: capsule.into(),
                memory: asset.memory_id.clone(),
                variant: variant_name(&asset.variant_),
                permissions: VIEW as u8,
                expires,
            };
            let token =
                tokens::mint(&secret, &scope).ok_or_else(|| Error::Invalid("a name is too long".into()))?;
            Ok(AssetToken {
                memory_id: asset.memory_id.clone(),
                variant_: asset.variant_.clone(),
                path: asset_path(&asset.memory_id, &asset.variant_, &token),
                expires_at: expires * SECOND,
            })
        };
        wanted.iter().map(token).collect()
    }
}
