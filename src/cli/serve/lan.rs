//! Serving a local network: a certificate of this machine's own, and the names that it is reached by.
//!
//! Browsers offer WebGPU and storage to other machines over https only. No authority vouches for a machine in a class, so the program makes
//! a certificate once, keeps it, and shows its fingerprint, which a browser's warning can be compared with.

use std::fs;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use rootstock::{Error, Result};
use sha2::{Digest, Sha256};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// The name in the certificate.
const NAME: &str = "Rootstock on this network";

/// What a local network is served with.
pub(super) struct Lan {
    pub(super) acceptor: TlsAcceptor,
    /// Names and addresses that the certificate is for.
    pub(super) names: Vec<String>,
    /// SHA-256 of the certificate, as browsers show it.
    pub(super) fingerprint: String,
    pub(super) certificate: PathBuf,
}

impl Lan {
    /// Opens the certificate in `folder`, or makes it if it is missing or of other names.
    ///
    /// # Errors
    /// When the machine is on no network, or the folder cannot be written.
    pub(super) fn open(folder: &Path) -> Result<Lan> {
        let names = names()?;
        let (certificate, key) = (folder.join("lan-certificate.pem"), folder.join("lan-key.pem"));
        let list = folder.join("lan-names.txt");
        let fault = |path: &Path, reason: String| Error::file(path.display().to_string(), reason);
        let current = fs::read_to_string(&list).is_ok_and(|known| known == names.join("\n")) && certificate.exists() && key.exists();
        if !current {
            let (chain, secret) = make(&names).map_err(|e| fault(&certificate, format!("it cannot be made: {e}")))?;
            fs::create_dir_all(folder).map_err(|e| fault(folder, format!("it cannot be written: {e}")))?;
            for (path, text) in [(&certificate, &chain), (&key, &secret), (&list, &names.join("\n"))] {
                write_private(path, text).map_err(|e| fault(path, format!("it cannot be written: {e}")))?;
            }
        }
        let broken = |path: &Path| fault(path, "it is damaged; delete it, and the next start makes another".into());
        let chain = CertificateDer::from_pem_file(&certificate).map_err(|_| broken(&certificate))?;
        let secret = PrivateKeyDer::from_pem_file(&key).map_err(|_| broken(&key))?;
        let fingerprint = Sha256::digest(&chain).iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(":");
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(vec![chain], secret))
            .map_err(|_| broken(&key))?;
        Ok(Lan { acceptor: TlsAcceptor::from(Arc::new(config)), names, fingerprint, certificate })
    }
}

fn make(names: &[String]) -> std::result::Result<(String, String), rcgen::Error> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(names.to_vec())?;
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, NAME);
    params.distinguished_name = subject;
    Ok((params.self_signed(&key)?.pem(), key.serialize_pem()))
}

/// Writes a file that only its owner can read.
fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    options.open(path)?.write_all(text.as_bytes())
}

/// How other machines reach this one: its address on the network, its name, and loopback's.
fn names() -> Result<Vec<String>> {
    let mut names = vec![address()?.to_string()];
    if let Some(host) = host_name() {
        // Most systems make a machine known under this name on its own network.
        names.push(format!("{host}.local"));
        names.push(host);
    }
    names.extend(["localhost".to_string(), Ipv4Addr::LOCALHOST.to_string()]);
    Ok(names)
}

/// The address that this machine has towards others. A connected datagram socket sends nothing by itself.
fn address() -> Result<IpAddr> {
    let elsewhere = SocketAddr::from(([192, 0, 2, 1], 9)); // an address of documentation, which nobody has
    let found = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).and_then(|socket| {
        socket.connect(elsewhere)?;
        socket.local_addr()
    });
    match found {
        Ok(address) if !address.ip().is_loopback() && !address.ip().is_unspecified() => Ok(address.ip()),
        _ => Err(Error::file("--lan", "this machine is on no network; connect it first, or leave --lan out to serve this machine only")),
    }
}

fn host_name() -> Option<String> {
    let known = fs::read_to_string("/proc/sys/kernel/hostname").ok().or_else(|| std::env::var("COMPUTERNAME").ok());
    let name = known.or_else(|| std::env::var("HOSTNAME").ok())?.trim().trim_end_matches(".local").to_lowercase();
    let plain = !name.is_empty() && name.len() < 64 && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    (plain && name != "localhost").then_some(name)
}

/// Where the certificate is kept: the user's own data.
///
/// # Errors
/// When the environment names no such place.
pub(super) fn folder() -> Result<PathBuf> {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let place = variable("XDG_DATA_HOME")
        .or_else(|| variable("LOCALAPPDATA"))
        .or_else(|| variable("HOME").map(|home| home.join(".local/share")))
        .ok_or_else(|| Error::file("--lan", "the environment names no home to keep the certificate in; set XDG_DATA_HOME"))?;
    Ok(place.join("rootstock"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_made_once_and_kept_privately() {
        let Ok(names) = names() else { return }; // a machine without any network, where --lan says so
        assert!(names.contains(&"localhost".to_string()));
        let folder = tempfile::tempdir().expect("a folder");
        let first = Lan::open(folder.path()).unwrap_or_else(|e| panic!("{e}"));
        let second = Lan::open(folder.path()).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(first.fingerprint, second.fingerprint, "browsers that trust it go on trusting it");
        assert_eq!(first.fingerprint.len(), 32 * 3 - 1);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = fs::metadata(folder.path().join("lan-key.pem")).expect("it is there").permissions().mode();
            assert_eq!(mode & 0o077, 0, "the key is its owner's");
        }
        fs::write(folder.path().join("lan-key.pem"), "no key").expect("it is written");
        assert!(Lan::open(folder.path()).is_err_and(|e| e.to_string().contains("delete it")));
        fs::write(folder.path().join("lan-names.txt"), "10.0.0.1").expect("it is written");
        let other = Lan::open(folder.path()).unwrap_or_else(|e| panic!("{e}"));
        assert_ne!(other.fingerprint, first.fingerprint, "another address needs another certificate");
    }
}
