//! ss's table: columns as wide as what is in them, spread over the terminal's width.

/// A column.
struct Column {
    title: &'static str,
    right: bool,
    /// A space before it.
    spaced: bool,
}

const fn column(title: &'static str, right: bool, spaced: bool) -> Column {
    Column { title, right, spaced }
}

/// How many columns there are.
pub const COLUMNS: usize = 9;

const TABLE: [Column; COLUMNS] = [
    column("Netid", false, false),
    column("State", false, true),
    column("Recv-Q", false, true),
    column("Send-Q", false, true),
    column("Local Address:", true, true),
    column("Port", false, false),
    column("Peer Address:", true, true),
    column("Port", false, false),
    column("Process", false, false),
];

/// One socket's fields.
pub type Row = [String; COLUMNS];

/// What to show.
#[derive(Debug, Clone, Copy)]
pub struct Layout {
    pub netid: bool,
    pub state: bool,
    pub header: bool,
    /// The terminal's width, where there is one.
    pub width: Option<usize>,
}

impl Layout {
    fn shows(&self, at: usize) -> bool {
        match at {
            0 => self.netid,
            1 => self.state,
            _ => true,
        }
    }

    /// The table's lines.
    pub fn render(&self, rows: &[Row]) -> String {
        let widths = self.widths(rows);
        let mut text = String::new();
        if self.header {
            let titles = TABLE.each_ref().map(|column| column.title.to_string());
            self.line(&mut text, &titles, &widths);
        }
        for row in rows {
            self.line(&mut text, row, &widths);
        }
        text
    }

    fn line(&self, text: &mut String, row: &Row, widths: &[usize; COLUMNS]) {
        let mut started = false;
        for at in (0..COLUMNS).filter(|at| self.shows(*at)) {
            let (column, cell, width) = (&TABLE[at], &row[at], widths[at]);
            let delimiter = if started && column.spaced { " " } else { "" };
            started = true;
            let used = delimiter.len() + cell.chars().count();
            let padding = " ".repeat(width.saturating_sub(used));
            *text += delimiter;
            match column.right {
                true => *text += &(padding + cell),
                false => *text += &(cell.clone() + &padding),
            }
        }
        text.push('\n');
    }

    fn widths(&self, rows: &[Row]) -> [usize; COLUMNS] {
        let mut widths = [0; COLUMNS];
        let mut first = true;
        for at in (0..COLUMNS).filter(|at| self.shows(*at)) {
            let title = if self.header { TABLE[at].title.len() } else { 0 };
            let longest = rows.iter().map(|row| row[at].chars().count()).max().unwrap_or(0);
            let content = longest.max(title);
            let delimiter = usize::from(!first && content > 0 && TABLE[at].spaced);
            widths[at] = content + delimiter;
            first &= widths[at] == 0;
        }
        if let Some(screen) = self.width.filter(|width| *width > 0) {
            widths.iter_mut().for_each(|width| *width = (*width).min(screen));
            spread(&mut widths, screen);
        }
        widths
    }
}

/// Fills lines of the terminal with as many columns as each has room for, and gives what room is
/// left to the columns on it, the odd rest to the last ones.
fn spread(widths: &mut [usize; COLUMNS], screen: usize) {
    let shown: Vec<usize> = (0..COLUMNS).filter(|at| widths[*at] > 0).collect();
    let mut rest = shown.as_slice();
    while !rest.is_empty() {
        let mut used = 0;
        let fitting = rest.iter().take_while(|at| {
            used += widths[**at];
            used <= screen
        });
        let count = fitting.count().max(1);
        let (line, more) = rest.split_at(count);
        let used: usize = line.iter().map(|at| widths[*at]).sum();
        let room = screen.saturating_sub(used);
        let (each, odd) = (room / count, room % count);
        for (n, at) in line.iter().rev().enumerate() {
            widths[*at] += each + usize::from(n < odd);
        }
        rest = more;
    }
}
