use bytes::{Buf as _, BytesMut};
use http::{
    HeaderMap, HeaderName, HeaderValue, StatusCode,
    header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING},
};

use crate::body_framing::BodyFraming;

/// Longest head of an answer that is read, in bytes.
const HEAD_BYTES_MAX: usize = 64 << 10;
/// Most header fields of an answer.
const HEADERS_MAX: usize = 100;

/// Everything of an answer before its body.
#[derive(Debug)]
pub(crate) struct AnswerHead {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) framing: BodyFraming,
    /// Whether the connection can take another request when the body is over.
    pub(crate) keeps_alive: bool,
}

/// What a server sent is no HTTP/1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotHttp {
    #[error("the answer does not begin as HTTP/1 does")]
    Head(#[from] httparse::Error),
    #[error("the answer's head has more than {HEAD_BYTES_MAX} bytes")]
    HeadTooLong,
    #[error("the answer switches to another protocol")]
    Upgrade,
    #[error("the answer does not say in one way how long it is")]
    Length,
    #[error("the answer's body is not cut into chunks as HTTP/1.1 says")]
    Chunk,
}

impl AnswerHead {
    /// Takes a head, and interim answers before it, from the start of `read`; `None` while some of it is
    /// missing.
    ///
    /// # Errors
    /// What is there is no head of an answer.
    pub(crate) fn take(read: &mut BytesMut) -> Result<Option<Self>, NotHttp> {
        loop {
            let mut fields = [httparse::EMPTY_HEADER; HEADERS_MAX];
            let mut answer = httparse::Response::new(&mut fields);
            let httparse::Status::Complete(head_bytes) = answer.parse(read)? else {
                let is_too_long = read.len() > HEAD_BYTES_MAX;
                return if is_too_long { Err(NotHttp::HeadTooLong) } else { Ok(None) };
            };
            let status = answer.code.and_then(|code| StatusCode::from_u16(code).ok());
            let status = status.ok_or(NotHttp::Head(httparse::Error::Status))?;
            if status == StatusCode::SWITCHING_PROTOCOLS {
                return Err(NotHttp::Upgrade);
            }
            if status.is_informational() {
                read.advance(head_bytes);
                continue;
            }
            let is_1_1 = answer.version == Some(1);
            let mut headers = HeaderMap::with_capacity(answer.headers.len());
            for field in answer.headers.iter() {
                let name = HeaderName::from_bytes(field.name.as_bytes());
                let name = name.map_err(|_bad| httparse::Error::HeaderName)?;
                let value = HeaderValue::from_bytes(field.value);
                headers.append(name, value.map_err(|_bad| httparse::Error::HeaderValue)?);
            }
            read.advance(head_bytes);
            let framing = framing(status, &headers, is_1_1)?;
            let is_told_by_end = matches!(framing, BodyFraming::UntilClosed);
            let keeps_alive = is_1_1 && !is_told_by_end && !has_token(&headers, "close");
            return Ok(Some(Self { status, headers, framing, keeps_alive }));
        }
    }
}

/// How the body of an answer to GET or POST ends (RFC 9112, section 6.3).
fn framing(status: StatusCode, headers: &HeaderMap, is_1_1: bool) -> Result<BodyFraming, NotHttp> {
    if matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) {
        return Ok(BodyFraming::of_length(0));
    }
    if let Some(codings) = headers.get_all(TRANSFER_ENCODING).iter().next_back() {
        if !is_1_1 {
            return Err(NotHttp::Length);
        }
        let codings = codings.as_bytes();
        let last = codings.rsplit(|byte| *byte == b',').next().unwrap_or(codings);
        return Ok(if last.trim_ascii().eq_ignore_ascii_case(b"chunked") {
            BodyFraming::chunked()
        } else {
            BodyFraming::UntilClosed
        });
    }
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    let Some(first) = lengths.next() else { return Ok(BodyFraming::UntilClosed) };
    if lengths.any(|other| other != first) {
        return Err(NotHttp::Length);
    }
    let digits = first.to_str().ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    let length = digits.and_then(|digits| digits.parse().ok()).ok_or(NotHttp::Length)?;
    Ok(BodyFraming::of_length(length))
}

fn has_token(headers: &HeaderMap, wanted: &str) -> bool {
    let mut values = headers.get_all(CONNECTION).iter().filter_map(|value| value.to_str().ok());
    values.any(|value| value.split(',').any(|token| token.trim().eq_ignore_ascii_case(wanted)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(text: &str) -> Result<Option<AnswerHead>, NotHttp> {
        let mut read = BytesMut::from(text);
        let head = AnswerHead::take(&mut read);
        if matches!(head, Ok(Some(_))) {
            assert_eq!(&read[..], b"rest", "of {text:?}");
        }
        head
    }

    fn of(fields: &str) -> AnswerHead {
        take(&format!("HTTP/1.1 200 OK\r\n{fields}\r\nrest")).unwrap().unwrap()
    }

    #[test]
    fn the_end_of_a_body_is_told_in_the_order_of_the_standard() {
        let chunked = of("Content-Length: 5\r\nTransfer-Encoding: gzip, Chunked\r\n");
        assert!(matches!(chunked.framing, BodyFraming::Chunked(_)) && chunked.keeps_alive);
        let coded = of("Transfer-Encoding: chunked, gzip\r\n");
        assert!(matches!(coded.framing, BodyFraming::UntilClosed) && !coded.keeps_alive);
        let counted = of("Content-Length: 5\r\nContent-Length: 5\r\nConnection: x, Close\r\n");
        assert!(matches!(counted.framing, BodyFraming::Length(5)) && !counted.keeps_alive);
        assert!(matches!(of("").framing, BodyFraming::UntilClosed));
        let empty =
            take("HTTP/1.1 204 No Content\r\nContent-Length: 9\r\n\r\nrest").unwrap().unwrap();
        assert!(matches!(empty.framing, BodyFraming::Length(0)));
        let old = take("HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nrest").unwrap().unwrap();
        assert!(!old.keeps_alive);
    }

    #[test]
    fn an_answer_that_contradicts_itself_is_not_guessed_at() {
        for fields in [
            "Content-Length: 5\r\nContent-Length: 6\r\n",
            "Content-Length: +5\r\n",
            "Content-Length: 5, 5\r\n",
            "Content-Length: 99999999999999999999999\r\n",
        ] {
            let head = take(&format!("HTTP/1.1 200 OK\r\n{fields}\r\n"));
            assert_eq!(head.unwrap_err(), NotHttp::Length, "{fields}");
        }
        let old = take("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        assert_eq!(old.unwrap_err(), NotHttp::Length);
        let other = take("HTTP/1.1 101 Switching Protocols\r\n\r\n");
        assert_eq!(other.unwrap_err(), NotHttp::Upgrade);
        assert!(matches!(take("SSH-2.0-x\r\n").unwrap_err(), NotHttp::Head(_)));
    }

    #[test]
    fn interim_answers_are_passed_over_and_a_head_may_come_in_pieces() {
        let text = "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nA: b\r\n\r\nrest";
        let mut read = BytesMut::new();
        for (at, byte) in text.bytes().enumerate() {
            let head = AnswerHead::take(&mut read).unwrap();
            if let Some(head) = head {
                assert_eq!(
                    (head.status, &head.headers["a"]),
                    (StatusCode::OK, &HeaderValue::from_static("b"))
                );
                assert_eq!(&text[at..], "rest");
                return;
            }
            read.extend_from_slice(&[byte]);
        }
        panic!("no head was found");
    }

    #[test]
    fn an_endless_head_is_given_up() {
        let long = format!("HTTP/1.1 200 OK\r\nA: {}", "x".repeat(HEAD_BYTES_MAX));
        assert_eq!(take(&long).unwrap_err(), NotHttp::HeadTooLong);
        let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "a: b\r\n".repeat(HEADERS_MAX + 1));
        assert!(matches!(take(&many).unwrap_err(), NotHttp::Head(_)));
    }
}
