//! Who is given asset tokens, for how long, and who takes them back.

use crate::http::{asset_path, variant_name};
use crate::store::{Access, Store};
use crate::tokens::{self, Minter, Scope};
use access::rules::{MANAGE, VIEW};
use access::{unauthorized, Call};
use ic_stable_structures::Memory as StableMemory;
use types::limits::*;
use types::*;

const SECOND: u64 = 1_000_000_000;

impl<M: StableMemory> Store<M> {
    /// Tokens for assets that the caller may view, good for that many seconds or for as long as the
    /// caller's right goes, if that is shorter.
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
        let known = self.registry.get(capsule)?;
        let secret =
            known.token_secret.ok_or_else(|| Error::Conflict("this canister signs no tokens now".into()))?;
        let token = |asset: &AssetRef| {
            self.allow_read(call, &access, &Resource::Memory(asset.memory_id.clone()), VIEW)?;
            let memory: Memory = self.records.get(capsule, &asset.memory_id)?;
            if !memory.assets.iter().any(|other| other.variant_ == asset.variant_) {
                return Err(Error::NotFound(format!("{:?} of memory {}", asset.variant_, asset.memory_id)));
            }
            let (minter, end) = self.right_to_view(call, capsule, &memory)?;
            let expires = (call.at / SECOND + valid_seconds).min(end);
            let scope = Scope {
                capsule: capsule.into(),
                memory: asset.memory_id.clone(),
                variant: variant_name(&asset.variant_),
                permissions: VIEW as u8,
                expires,
                revocations: known.revocations,
                minter,
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

    /// By what right a caller who may view a memory does, and the second at which a token must end.
    fn right_to_view(&self, call: &Call, capsule: &str, memory: &Memory) -> Answer<(Minter, u64)> {
        let (person, now) = (call.person(), call.at / SECOND);
        // without what a provisioner counts for: that is a right of an operator
        let access: Access<'_, M> = Access::new(&self.records, capsule, call.at)?;
        let own = access.on_memory(&person, memory)?;
        if own & VIEW == 0 {
            return Ok((Minter::Operator(call.caller), now + MAX_OPERATOR_TOKEN_SECONDS));
        }
        let most = if own & MANAGE != 0 { MAX_TOKEN_SECONDS } else { MAX_GUEST_TOKEN_SECONDS };
        let until = access.until(&person, memory, VIEW)?.map_or(u64::MAX, |end| end / SECOND);
        Ok((Minter::Person(call.caller), until.min(now + most)))
    }

    /// Ends the tokens that were made until now, of one memory or of all. By who manages it; also while
    /// the capsule is read-only.
    pub fn asset_tokens_revoke(&mut self, call: &Call, capsule: &str, memory: Option<&str>) -> Answer<()> {
        let access = self.reading(call, capsule)?;
        let resource = memory.map_or(Resource::Capsule, |memory| Resource::Memory(memory.into()));
        self.allow(call, &access, &resource, MANAGE)?;
        if call.is_anonymous() {
            return Err(unauthorized(call));
        }
        self.registry.revoke_tokens(capsule, memory)
    }
}
