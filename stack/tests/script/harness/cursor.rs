//! Reading a line piece by piece.

use core::str::FromStr;

/// What is left of a line. Blanks between pieces do not count.
#[derive(Debug, Clone)]
pub struct Cursor<'a> {
    rest: &'a str,
}

impl<'a> Cursor<'a> {
    pub fn new(text: &'a str) -> Self {
        Cursor { rest: text.trim() }
    }

    pub fn rest(&self) -> &'a str {
        self.rest
    }

    pub fn peek_char(&self) -> Option<char> {
        self.rest.chars().next()
    }

    pub fn skip(&mut self, n: usize) {
        self.rest = self.rest[n..].trim_start();
    }

    /// Takes `text` if it comes next.
    pub fn eat(&mut self, text: &str) -> bool {
        let found = self.rest.starts_with(text);
        if found {
            self.skip(text.len());
        }
        found
    }

    pub fn expect(&mut self, text: &str) -> Result<(), String> {
        match self.eat(text) {
            true => Ok(()),
            false => Err(format!("{text:?} should come before {:?}", self.rest)),
        }
    }

    pub fn finish(&self) -> Result<(), String> {
        match self.rest {
            "" => Ok(()),
            rest => Err(format!("what is {rest:?}?")),
        }
    }

    /// The letters, digits and underscores that come next.
    pub fn word(&mut self) -> &'a str {
        let word = self.peek_word();
        self.skip(word.len());
        word
    }

    pub fn peek_word(&self) -> &'a str {
        let is_part = |c: char| c.is_alphanumeric() || c == '_';
        &self.rest[..self.rest.find(|c| !is_part(c)).unwrap_or(self.rest.len())]
    }

    /// Everything up to the next blank.
    pub fn token(&mut self) -> &'a str {
        let token = self.rest.split_whitespace().next().unwrap_or("");
        self.skip(token.len());
        token
    }

    /// A number, decimal or with `0x`.
    pub fn number<T: FromStr + TryFrom<u64>>(&mut self) -> Result<T, String> {
        let word = self.word();
        let value = match word.strip_prefix("0x") {
            Some(hex) => u64::from_str_radix(hex, 16).ok(),
            None => word.parse().ok(),
        };
        let value = value.and_then(|value| T::try_from(value).ok());
        value.ok_or_else(|| format!("{word:?} is no number that fits, before {:?}", self.rest))
    }

    /// A number, or `...` for any.
    pub fn number_or_any(&mut self) -> Result<Option<u32>, String> {
        if self.eat("...") {
            return Ok(None);
        }
        self.number().map(Some)
    }

    /// Bytes as pairs of hexadecimal digits; perhaps none.
    pub fn hex(&mut self) -> Result<Vec<u8>, String> {
        let word = self.word();
        let pairs = word.as_bytes().chunks(2).map(|pair| {
            let pair = core::str::from_utf8(pair).unwrap_or("");
            u8::from_str_radix(pair, 16).map_err(|_| format!("{word:?} is not hexadecimal"))
        });
        pairs.collect()
    }
}
