//! Limits on nesting and length, measured on the text before Cedar's recursive parser sees it.

use super::source::{Finding, Source};

/// Most brackets within brackets.
pub(super) const DEPTH: usize = 64;
/// Most operators on the way from a policy's condition to its innermost part, and most in one chain.
pub(super) const CHAIN: usize = 1_000;
/// Most policies or declarations of one file: each, if it is wrong, is an error with its place.
pub(super) const STATEMENTS: usize = 10_000;
/// Most bytes of one file.
pub(super) const BYTES: usize = 4 << 20;

/// Refuses a text that Cedar's parser or evaluator could exhaust the stack on.
pub(super) fn check(source: &Source, angle_brackets: bool) -> Result<(), Finding> {
    check_size(source)?;
    let mut levels = vec![Level::default()];
    let mut statements = 0;
    let mut tokens = Tokens::of(source.text());
    while let Some((at, token)) = tokens.next() {
        statements += usize::from(token == Token::End);
        if statements > STATEMENTS {
            return Err(source.finding(at, 1, format!("more than {STATEMENTS} policies or declarations in one file")));
        }
        let opens = token == Token::Open || (angle_brackets && token == Token::Less);
        let closes = token == Token::Close || (angle_brackets && token == Token::Greater);
        if opens && levels.len() > DEPTH {
            return Err(source.finding(at, 1, format!("nested deeper than {DEPTH} brackets")));
        }
        if opens {
            // `a["b"]["c"]`, `when { … } when { … }`: brackets one after the other nest what is before them.
            if let Some(level) = levels.last_mut() {
                level.clause += 1;
            }
            levels.push(Level::default());
        } else if closes && levels.len() > 1 {
            let inner = levels.pop().unwrap_or_default().longest() + 1;
            if let Some(outer) = levels.last_mut() {
                outer.within = outer.within.max(inner);
            }
        } else if let Some(level) = levels.last_mut() {
            match token {
                Token::End => *level = Level::default(),
                Token::Comma => level.next_part(),
                Token::Logic => level.next_clause(),
                Token::Operator | Token::Less | Token::Greater => level.clause += 1,
                Token::Open | Token::Close | Token::Other => {}
            }
        }
        if levels.last().is_some_and(|level| level.longest() > CHAIN) {
            return Err(source.finding(at, 1, format!("a chain of more than {CHAIN} operators")));
        }
    }
    Ok(())
}

/// Refuses a text that is too long to be read.
pub(super) fn check_size(source: &Source) -> Result<(), Finding> {
    if source.text().len() > BYTES {
        return Err(source.finding(0, 0, format!("the file is larger than {} MiB", BYTES >> 20)));
    }
    Ok(())
}

/// How deep the expressions between two brackets can nest without a bracket.
#[derive(Default)]
struct Level {
    /// `||`, `&&` and `if` of the part between two commas: each is one step deeper.
    logic: usize,
    /// Other operators and brackets since the last of those, and the most between any two.
    clause: usize,
    longest_clause: usize,
    /// The deepest part before the last comma.
    longest_part: usize,
    /// The deepest of the brackets within.
    within: usize,
}

impl Level {
    fn next_clause(&mut self) {
        self.logic += 1;
        self.longest_clause = self.longest_clause.max(self.clause);
        self.clause = 0;
    }

    fn next_part(&mut self) {
        let longest_part = self.longest_part.max(self.logic + self.longest_clause.max(self.clause));
        *self = Self { longest_part, within: self.within, ..Self::default() };
    }

    fn longest(&self) -> usize {
        self.longest_part.max(self.logic + self.longest_clause.max(self.clause)) + self.within
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Token {
    Open,
    Close,
    Less,
    Greater,
    /// `;`: what comes before it does not enclose what comes after.
    End,
    Comma,
    /// `||`, `&&`, `if`, `then`, `else`.
    Logic,
    Operator,
    Other,
}

/// The tokens of a text; each byte of white space is one too, comments are none.
pub(super) struct Tokens<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Tokens<'a> {
    pub(super) fn of(text: &'a str) -> Self {
        Self { text: text.as_bytes(), at: 0 }
    }

    /// Where the latest token ends.
    pub(super) fn end(&self) -> usize {
        self.at.min(self.text.len())
    }

    fn peek(&self, ahead: usize) -> u8 {
        self.text.get(self.at + ahead).copied().unwrap_or(0)
    }

    pub(super) fn next(&mut self) -> Option<(usize, Token)> {
        while self.at < self.text.len() {
            let start = self.at;
            let c = self.peek(0);
            let token = match (c, self.peek(1)) {
                (b'/', b'/') => {
                    // Cedar ends a comment at either.
                    while self.at < self.text.len() && !matches!(self.peek(0), b'\n' | b'\r') {
                        self.at += 1;
                    }
                    continue;
                }
                (b'"', _) => {
                    self.at += 1;
                    while self.at < self.text.len() && self.peek(0) != b'"' {
                        self.at += if self.peek(0) == b'\\' { 2 } else { 1 };
                    }
                    Token::Other
                }
                (b'(' | b'[' | b'{', _) => Token::Open,
                (b')' | b']' | b'}', _) => Token::Close,
                (b';', _) => Token::End,
                (b',', _) => Token::Comma,
                (b'|', b'|') | (b'&', b'&') => {
                    self.at += 1;
                    Token::Logic
                }
                (b':', b':') => {
                    self.at += 1;
                    Token::Operator
                }
                (b'=', b'=') | (b'!', b'=') | (b'<', b'=') | (b'>', b'=') => {
                    self.at += 1;
                    Token::Operator
                }
                (b'<', _) => Token::Less,
                (b'>', _) => Token::Greater,
                (b'!' | b'-' | b'+' | b'*' | b'.', _) => Token::Operator,
                (c, _) if c.is_ascii_alphabetic() || c == b'_' => {
                    while self.peek(1).is_ascii_alphanumeric() || self.peek(1) == b'_' {
                        self.at += 1;
                    }
                    match self.text.get(start..=self.at) {
                        Some(b"if" | b"then" | b"else") => Token::Logic,
                        Some(b"in" | b"is" | b"has" | b"like") => Token::Operator,
                        _ => Token::Other,
                    }
                }
                _ => Token::Other,
            };
            self.at += 1;
            return Some((start, token));
        }
        None
    }
}
