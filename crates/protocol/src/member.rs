//! Members: their roles, what may be said of them, and how a machine proves that it was invited.

use crate::{Error, PublicKey, RealmId, Result, SecretKey, limits, v1};
use ed25519_zebra::{Signature, VerificationKey};
use prost::Message;
use std::{collections::BTreeMap, fmt, net::IpAddr, str::FromStr};

/// The role that the key of every member holds, and no other key.
pub const NODE_ROLE: &str = "node";

const JOIN_DOMAIN: &[u8] = b"althing member join v1\0";

impl v1::MemberRole {
    /// The role that a message has as a number.
    ///
    /// # Errors
    /// `invalid` when it is none.
    pub fn check(number: i32) -> Result<Self> {
        match Self::try_from(number) {
            Ok(role) if role != Self::Unspecified => Ok(role),
            _ => Err(Error::invalid(format!("role {number} of a member: wants voter or learner"))),
        }
    }
}

impl fmt::Display for v1::MemberRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Voter => "voter",
            Self::Learner => "learner",
            Self::Unspecified => "unspecified",
        })
    }
}

impl FromStr for v1::MemberRole {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "voter" => Ok(Self::Voter),
            "learner" => Ok(Self::Learner),
            _ => Err(Error::invalid(format!("role {text:?} of a member: wants voter or learner"))),
        }
    }
}

impl v1::Member {
    /// Whether it is a member still.
    pub fn is_current(&self) -> bool {
        self.removed == 0
    }

    /// Whether it is a member that votes.
    pub fn is_voter(&self) -> bool {
        self.is_current() && self.role() == v1::MemberRole::Voter
    }

    /// What it says of itself, and what others say, which counts more.
    pub fn labels(&self) -> BTreeMap<&str, &str> {
        let both = self.labels.iter().chain(&self.given);
        both.map(|label| (label.name.as_str(), label.value.as_str())).collect()
    }
}

impl v1::MemberJoin {
    /// The same, signed with the secret half of the invitation's key.
    pub(crate) fn signed(self, realm: &RealmId, secret: &SecretKey) -> Self {
        let signature = secret.sign(&self.message(realm)).to_vec();
        Self { signature, ..self }
    }

    /// Checks that who made this has the invitation's secret and made it for `realm`, by ZIP-215
    /// rules.
    ///
    /// # Errors
    /// `invalid` when a key is malformed, `denied` when the signature is not the invitation's.
    pub fn verify(&self, realm: &RealmId) -> Result<()> {
        let invite = PublicKey::try_from(self.invite.as_slice())
            .map_err(|e| Error::invalid(format!("invitation: {}", e.message)))?;
        let refused = || {
            Error::denied(format!(
                "signature of invitation {invite}: does not match this join; join with the whole \
                 token that `althing invite` printed"
            ))
        };
        let signature = Signature::try_from(self.signature.as_slice()).map_err(|_| refused())?;
        let key = VerificationKey::try_from(invite.0).map_err(|_| refused())?;
        key.verify(&signature, &self.message(realm)).map_err(|_| refused())
    }

    fn message(&self, realm: &RealmId) -> Vec<u8> {
        let unsigned = Self { signature: Vec::new(), ..self.clone() };
        [JOIN_DOMAIN, &realm.0, &unsigned.encode_to_vec()].concat()
    }
}

/// Checks the address at which other members reach a node: a host, and a port that is not 0.
///
/// # Errors
/// `invalid`, saying what an address looks like.
pub fn check_address(address: &str) -> Result<()> {
    let refused = |why: &str| {
        let shown: String = address.chars().take(limits::NODE_ADDRESS_BYTES_MAX).collect();
        Err(Error::invalid(format!(
            "address {shown:?} of a node: {why}; wants HOST:PORT as other machines reach it, like \
             desktop.lan:4100 or [fd00::1]:4100"
        )))
    };
    let Some((host, port)) = address.rsplit_once(':') else { return refused("has no port") };
    let is_port = port.bytes().all(|b| b.is_ascii_digit()) && port.parse().unwrap_or(0_u16) > 0;
    if !is_port {
        return refused("its port is none of 1 to 65535");
    }
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    match bare.unwrap_or(host).parse::<IpAddr>() {
        Ok(ip) if ip.is_unspecified() => refused("is every address of a machine, and of none"),
        Ok(ip) if ip.is_ipv6() == bare.is_some() => Ok(()),
        Ok(_) => refused("an IPv6 address, and no other, stands in brackets"),
        Err(_) if bare.is_some() => refused("what is in brackets is no IPv6 address"),
        Err(_) if is_name(host) && address.len() <= limits::NODE_ADDRESS_BYTES_MAX => Ok(()),
        Err(_) => refused("its host is no name"),
    }
}

fn is_name(host: &str) -> bool {
    let inner = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    host.split('.').all(|part| !part.is_empty() && part.bytes().all(inner))
}

/// Checks labels: their count, names and values, and that they are in order.
///
/// # Errors
/// `invalid`, naming the label.
pub fn check_labels(labels: &[v1::Label]) -> Result<()> {
    if labels.len() > limits::LABELS_MAX {
        return Err(Error::invalid(format!(
            "labels of a member: {}, the limit is {}",
            labels.len(),
            limits::LABELS_MAX
        )));
    }
    for (at, label) in labels.iter().enumerate() {
        check_label(label)?;
        if at > 0 && labels[at - 1].name >= label.name {
            return Err(Error::invalid(format!(
                "label {:?} of a member: comes twice, or not in the order of names",
                label.name
            )));
        }
    }
    Ok(())
}

fn check_label(label: &v1::Label) -> Result<()> {
    let name = &label.name;
    let inner =
        |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_' | b'.');
    if name.is_empty() || name.len() > limits::LABEL_NAME_BYTES_MAX || !name.bytes().all(inner) {
        let shown: String = name.chars().take(limits::LABEL_NAME_BYTES_MAX).collect();
        return Err(Error::invalid(format!(
            "label {shown:?} of a member: use 1 to {} of a-z 0-9 - _ . for its name",
            limits::LABEL_NAME_BYTES_MAX
        )));
    }
    let value = &label.value;
    if value.len() > limits::LABEL_VALUE_BYTES_MAX || value.contains(char::is_control) {
        return Err(Error::invalid(format!(
            "value of label {name} of a member: wants up to {} bytes of text on one line",
            limits::LABEL_VALUE_BYTES_MAX
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn addresses() {
        for good in ["desktop:4100", "a.b-c_d.lan:1", "192.168.1.7:65535", "[fd00::1]:4100"] {
            assert_eq!(check_address(good), Ok(()), "{good}");
        }
        let long = format!("{}:1", "a".repeat(limits::NODE_ADDRESS_BYTES_MAX));
        for bad in [
            "",
            ":",
            ":1",
            "desktop",
            "desktop:",
            "desktop:0",
            "desktop:65536",
            "desktop:+1",
            "desktop:-1",
            "desktop:http",
            "fd00::1:4100",
            "[fd00::1]",
            "[desktop]:1",
            "[10.0.0.1]:1",
            "0.0.0.0:1",
            "[::]:1",
            "a..b:1",
            ".:1",
            "a b:1",
            "ä:1",
            "http://a:1",
            &long,
        ] {
            let error = check_address(bad).unwrap_err();
            assert!(error.message.contains("HOST:PORT"), "{bad}: {error}");
        }
    }

    #[test]
    fn labels() {
        let label = |name: &str, value: &str| v1::Label { name: name.into(), value: value.into() };
        let named = |names: &[&str]| names.iter().map(|name| label(name, "")).collect::<Vec<_>>();
        let longest = label(
            &"a".repeat(limits::LABEL_NAME_BYTES_MAX),
            &"v".repeat(limits::LABEL_VALUE_BYTES_MAX),
        );
        for good in
            [named(&[]), named(&["a", "b"]), vec![label("memory.mib", "7 800")], vec![longest]]
        {
            assert_eq!(check_labels(&good), Ok(()), "{good:?}");
        }
        let many: Vec<_> = (10..=10 + limits::LABELS_MAX).map(|n| n.to_string()).collect();
        let many: Vec<_> = many.iter().map(String::as_str).collect();
        for (bad, says) in [
            (named(&["b", "a"]), "order"),
            (named(&["a", "a"]), "twice"),
            (named(&[""]), "name"),
            (named(&["GPU"]), "name"),
            (named(&[&"a".repeat(limits::LABEL_NAME_BYTES_MAX + 1)]), "name"),
            (vec![label("a", "b\nc")], "one line"),
            (vec![label("a", &"v".repeat(limits::LABEL_VALUE_BYTES_MAX + 1))], "value of label a"),
            (named(&many), "the limit is"),
        ] {
            let error = check_labels(&bad).unwrap_err();
            assert!(error.message.contains(says), "{bad:?}: {error}");
        }
    }

    #[test]
    fn roles() {
        for role in [v1::MemberRole::Voter, v1::MemberRole::Learner] {
            assert_eq!(role.to_string().parse(), Ok(role));
            assert_eq!(v1::MemberRole::check(role.into()), Ok(role));
        }
        assert!("leader".parse::<v1::MemberRole>().is_err());
        assert!(v1::MemberRole::check(0).is_err() && v1::MemberRole::check(3).is_err());
    }

    #[test]
    fn what_others_say_of_a_member_counts() {
        let label = |name: &str, value: &str| v1::Label { name: name.into(), value: value.into() };
        let member = v1::Member {
            labels: vec![label("arch", "arm64"), label("gpu", "yes")],
            given: vec![label("gpu", "no"), label("rack", "2")],
            ..v1::Member::default()
        };
        let labels = BTreeMap::from([("arch", "arm64"), ("gpu", "no"), ("rack", "2")]);
        assert_eq!(member.labels(), labels);
    }
}
