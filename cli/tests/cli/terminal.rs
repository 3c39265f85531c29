//! A terminal that a command runs on.

use std::fs::File;
use std::io::{Read, Write};
use std::process::ExitStatus;

use nix::pty::{Winsize, openpty};
use tokio::process::{Child, Command};

/// A command on a terminal of its own.
pub struct Terminal {
    child: Child,
    screen: File,
    shown: String,
}

impl Terminal {
    /// Runs `command` on a terminal with `columns` columns.
    pub fn run(mut command: Command, columns: u16) -> Self {
        let size = Winsize { ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        let pty = openpty(&size, None).unwrap();
        let end = || pty.slave.try_clone().unwrap();
        let child = command.env("TERM", "xterm").stdin(end()).stdout(end()).stderr(end()).spawn().unwrap();
        // Its own copies of the terminal's end would keep the screen open.
        drop(command);
        Self { child, screen: pty.master.into(), shown: String::new() }
    }

    /// Types `answer` once the command shows `question`.
    pub async fn answer(&mut self, question: &str, answer: &str) {
        while !self.shown.contains(question) {
            assert!(self.read().await, "the command ended without {question:?}: {}", self.shown);
        }
        self.screen.write_all(answer.as_bytes()).unwrap();
    }

    /// What the command has shown up to its end, with everything that was for the terminal only.
    pub async fn end_as_it_is(mut self) -> String {
        while self.read().await {}
        self.child.wait().await.unwrap();
        self.shown
    }

    /// What the command has shown up to its end, without colours, and how it ended.
    pub async fn end(mut self) -> (ExitStatus, String) {
        while self.read().await {}
        let shown = console::strip_ansi_codes(&self.shown).replace("\r\n", "\n");
        (self.child.wait().await.unwrap(), shown)
    }

    /// Reads on; returns whether there may be more.
    async fn read(&mut self) -> bool {
        let mut screen = self.screen.try_clone().unwrap();
        let read = tokio::task::spawn_blocking(move || {
            let mut bytes = vec![0; 4096];
            // A terminal that nobody is on any more ends with an error, EIO.
            let length = screen.read(&mut bytes).unwrap_or_default();
            bytes.truncate(length);
            bytes
        });
        let bytes = read.await.unwrap();
        self.shown.push_str(&String::from_utf8_lossy(&bytes));
        !bytes.is_empty()
    }
}
