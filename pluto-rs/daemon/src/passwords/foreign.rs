//! `crypt(3)` and PAM of the system: loaded when a password is first checked, so that who has no XAUTH needs neither, and
//! every kind of hash and module that the system knows is known here.
//!
//! The only module of the crate with unsafe code: the libraries are C's.

#![expect(unsafe_code, reason = "libcrypt and libpam")]

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::ptr;

use ipsec_types::SecretBytes;
use libloading::{Library, Symbol};

/// More than `struct crypt_data` of any C library has (131232 in old ones).
const CRYPT_DATA: usize = 256 << 10;

type CryptR = unsafe extern "C" fn(*const c_char, *const c_char, *mut c_void) -> *const c_char;

/// The first of these libraries that there is.
fn library(names: &[&str]) -> Result<Library, String> {
    let mut why = String::new();
    for name in names {
        // SAFETY: libraries of the system, whose initialisers do nothing but prepare themselves.
        match unsafe { Library::new(*name) } {
            Ok(library) => return Ok(library),
            Err(e) => why = e.to_string(),
        }
    }
    Err(format!("cannot load {}: {why}", names.join(" or ")))
}

fn c_string(secret: &SecretBytes) -> Result<CString, String> {
    CString::new(secret.expose()).map_err(|_| "the password holds a NUL".into())
}

/// Whether `password` makes `hash`.
///
/// # Errors
/// The library cannot be used, or cannot read such a hash.
pub(super) fn crypt(password: &SecretBytes, hash: &str) -> Result<bool, String> {
    let library = library(&["libcrypt.so.1", "libcrypt.so.2"])?;
    let (phrase, setting) =
        (c_string(password)?, CString::new(hash).map_err(|_| "a hash holds a NUL".to_string())?);
    let mut data = vec![0u64; CRYPT_DATA / size_of::<u64>()];
    // SAFETY: crypt_r has this signature in every C library; `data` is zeroed, aligned, larger than the structure, and
    // lives as long as what is returned is read.
    let made = unsafe {
        let crypt_r: Symbol<'_, CryptR> = library.get(b"crypt_r").map_err(|e| e.to_string())?;
        let made = crypt_r(phrase.as_ptr(), setting.as_ptr(), data.as_mut_ptr().cast());
        if made.is_null() { None } else { Some(SecretBytes::from(CStr::from_ptr(made).to_bytes())) }
    };
    match made {
        // "*0" and "*1" are how some libraries say that they cannot.
        Some(made) if !made.expose().starts_with(b"*") => Ok(made == SecretBytes::from(hash.as_bytes())),
        _ => Err("the hash is of no kind that crypt(3) knows".into()),
    }
}

#[repr(C)]
struct Message {
    style: c_int,
    text: *const c_char,
}

#[repr(C)]
struct Response {
    text: *mut c_char,
    code: c_int,
}

type Converse = unsafe extern "C" fn(c_int, *const *const Message, *mut *mut Response, *mut c_void) -> c_int;

#[repr(C)]
struct Conversation {
    converse: Converse,
    data: *mut c_void,
}

type Start =
    unsafe extern "C" fn(*const c_char, *const c_char, *const Conversation, *mut *mut c_void) -> c_int;
type SetItem = unsafe extern "C" fn(*mut c_void, c_int, *const c_void) -> c_int;
type Step = unsafe extern "C" fn(*mut c_void, c_int) -> c_int;
type StrError = unsafe extern "C" fn(*mut c_void, c_int) -> *const c_char;

const SUCCESS: c_int = 0;
const BUF_ERR: c_int = 5;
const CONV_ERR: c_int = 19;
const RHOST: c_int = 4;
const PROMPT_ECHO_OFF: c_int = 1;
const PROMPT_ECHO_ON: c_int = 2;
const SILENT_NO_NULL: c_int = 0x8001;
/// Messages of one call that are answered.
const MESSAGES: usize = 32;

/// What a module may ask for.
struct Answers {
    user: CString,
    password: CString,
}

/// Answers every prompt: without echo with the password, with echo with the name.
unsafe extern "C" fn converse(
    count: c_int,
    messages: *const *const Message,
    responses: *mut *mut Response,
    data: *mut c_void,
) -> c_int {
    let Some(count) = usize::try_from(count).ok().filter(|n| (1..=MESSAGES).contains(n)) else {
        return CONV_ERR;
    };
    if messages.is_null() || responses.is_null() || data.is_null() {
        return CONV_ERR;
    }
    // SAFETY: PAM gives back the pointer of pam_start, an array of `count` pointers to messages, and takes an array of as
    // many responses that it frees with free(3), as it does with their texts.
    unsafe {
        let answers = &*data.cast::<Answers>();
        let all = libc::calloc(count, size_of::<Response>()).cast::<Response>();
        if all.is_null() {
            return BUF_ERR;
        }
        for n in 0..count {
            let message = *messages.add(n);
            let text = match message.as_ref().map(|m| m.style) {
                Some(PROMPT_ECHO_OFF) => libc::strdup(answers.password.as_ptr()),
                Some(PROMPT_ECHO_ON) => libc::strdup(answers.user.as_ptr()),
                _ => ptr::null_mut(),
            };
            all.add(n).write(Response { text, code: 0 });
        }
        responses.write(all);
    }
    SUCCESS
}

/// Whether PAM's service lets `user` in, from `host`, with an account that may be used.
///
/// # Errors
/// Why not, in PAM's words.
pub(super) fn pam(service: &str, user: &str, password: &SecretBytes, host: &str) -> Result<(), String> {
    let library = library(&["libpam.so.0"])?;
    let text = |s: &str| CString::new(s).map_err(|_| "a name holds a NUL".to_string());
    let answers = Answers { user: text(user)?, password: c_string(password)? };
    let (service, name, host) = (text(service)?, text(user)?, text(host)?);
    let conversation = Conversation { converse, data: (&raw const answers).cast_mut().cast() };
    // SAFETY: the signatures are those of libpam's headers; every pointer outlives pam_end, which is called exactly once
    // for a handle that pam_start gave.
    unsafe {
        let gone = |e: libloading::Error| e.to_string();
        let start: Symbol<'_, Start> = library.get(b"pam_start").map_err(gone)?;
        let set_item: Symbol<'_, SetItem> = library.get(b"pam_set_item").map_err(gone)?;
        let authenticate: Symbol<'_, Step> = library.get(b"pam_authenticate").map_err(gone)?;
        let account: Symbol<'_, Step> = library.get(b"pam_acct_mgmt").map_err(gone)?;
        let end: Symbol<'_, Step> = library.get(b"pam_end").map_err(gone)?;
        let strerror: Symbol<'_, StrError> = library.get(b"pam_strerror").map_err(gone)?;
        let mut handle = ptr::null_mut();
        let begun = start(service.as_ptr(), name.as_ptr(), &raw const conversation, &raw mut handle);
        if begun != SUCCESS || handle.is_null() {
            return Err(format!("pam_start failed ({begun})"));
        }
        let mut status = set_item(handle, RHOST, host.as_ptr().cast());
        let mut what = "pam_set_item";
        for (step, called) in [(&authenticate, "pam_authenticate"), (&account, "pam_acct_mgmt")] {
            if status == SUCCESS {
                (status, what) = (step(handle, SILENT_NO_NULL), called);
            }
        }
        let outcome = match status {
            SUCCESS => Ok(()),
            n => {
                let why = strerror(handle, n);
                let why =
                    if why.is_null() { String::new() } else { CStr::from_ptr(why).to_string_lossy().into() };
                Err(format!("{what} failed: {why}"))
            }
        };
        end(handle, status);
        outcome
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pam_lets_nobody_in_who_is_not_there() {
        let wrong = pam("pluto", "nobody-of-that-name", &SecretBytes::from(&b"x"[..]), "192.0.2.1");
        let why = wrong.unwrap_err();
        assert!(why.contains("failed") || why.contains("cannot load"), "{why}");
    }

    #[test]
    fn every_prompt_has_its_answer_and_no_more_than_is_allowed() {
        let answers = Answers { user: c"joe".into(), password: c"secret".into() };
        let data = (&raw const answers).cast_mut().cast();
        let message = |style| Message { style, text: ptr::null() };
        let all = [message(PROMPT_ECHO_OFF), message(PROMPT_ECHO_ON), message(3)];
        let pointers = all.each_ref().map(ptr::from_ref);
        let mut got = ptr::null_mut();
        // SAFETY: three messages, as PAM would give them; the answers are freed as PAM would.
        unsafe {
            assert_eq!(converse(3, pointers.as_ptr(), &raw mut got, data), SUCCESS);
            assert_eq!(CStr::from_ptr((*got).text), c"secret");
            assert_eq!(CStr::from_ptr((*got.add(1)).text), c"joe");
            assert!((*got.add(2)).text.is_null());
            libc::free((*got).text.cast());
            libc::free((*got.add(1)).text.cast());
            libc::free(got.cast());
            assert_eq!(converse(33, pointers.as_ptr(), &raw mut got, data), CONV_ERR);
            assert_eq!(converse(-1, pointers.as_ptr(), &raw mut got, data), CONV_ERR);
            assert_eq!(converse(1, ptr::null(), &raw mut got, data), CONV_ERR);
        }
    }
}
