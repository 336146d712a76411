//! The label of a node: a QR code and the same in words, 60 mm × 30 mm, as PNG (300 dpi) and PDF.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use noto_sans_mono_bitmap::{FontWeight, RasterHeight, get_raster, get_raster_width};
use pdf_writer::{Content, Finish as _, Name, Pdf, Rect, Ref, Str};
use qrcodegen::{QrCode, QrCodeEcc};
use wangge_protocol::node::{NodeKind, layout::PARTS};

use crate::journal::{Row, yes_or_no};

/// Size of the label, mm.
const WIDTH_MM: f32 = 60.0;
const HEIGHT_MM: f32 = 30.0;
/// Dots of a millimetre in the picture: 300 dpi.
const DOTS: f32 = 300.0 / 25.4;
/// Points of a millimetre in the document.
const POINTS: f32 = 72.0 / 25.4;
/// The code and its quiet zone, mm.
const CODE_MM: f32 = 28.0;
/// Light modules that ISO/IEC 18004 wants around the code.
const QUIET: i32 = 4;
const FONT: FontWeight = FontWeight::Bold;
const FONT_HEIGHT: RasterHeight = RasterHeight::Size24;

/// What stands on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// Serial number.
    pub serial: u64,
    /// What it is.
    pub kind: NodeKind,
    /// Unit id on the bus.
    pub unit: u8,
    /// Line, e.g. `9600 8N1`.
    pub line: String,
    /// Hardware id.
    pub hardware: u16,
    /// Part, as in the data sheet.
    pub part: String,
    /// Version of the image.
    pub version: String,
    /// SHA-256 of the image; its beginning is printed.
    pub image: [u8; 32],
    /// There is no board.
    pub simulated: bool,
}

/// Why there is no label.
#[derive(Debug, thiserror::Error)]
pub enum LabelError {
    /// It cannot be written.
    #[error("{path}: {error}")]
    Io {
        /// Where to.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The log says something else than this tool writes.
    #[error(
        "the log's row for serial number {0} does not say kind, part or image as this tool does"
    )]
    Row(u64),
    /// The picture cannot be made.
    #[error("the label's picture: {0}")]
    Picture(#[from] png::EncodingError),
    /// The code cannot be made.
    #[error("the label's code: {0}")]
    Code(#[from] qrcodegen::DataTooLong),
}

impl Label {
    /// Of a node that is in the batch log.
    ///
    /// # Errors
    /// [`LabelError::Row`].
    pub fn of(row: &Row) -> Result<Label, LabelError> {
        let part = PARTS.iter().find(|part| part.name == row.part);
        let kind = NodeKind::ALL.iter().find(|kind| kind.slug() == row.kind);
        let mut image = [0; 32];
        let decoded = hex::decode_to_slice(&row.image, &mut image);
        let (Some(part), Some(kind), Ok(())) = (part, kind, decoded) else {
            return Err(LabelError::Row(row.serial));
        };
        Ok(Label {
            serial: row.serial,
            kind: *kind,
            unit: row.unit,
            line: row.line.clone(),
            hardware: part.hardware,
            part: row.part.clone(),
            version: row.version.clone(),
            image,
            simulated: row.simulated == yes_or_no(true),
        })
    }

    /// What the code says: capitals and digits only, which makes it small.
    pub fn code(&self) -> String {
        format!(
            "WANGGE:1/SN:{}/UNIT:{}/HW:{:04X}/KIND:{}/IMG:{}{}",
            self.serial,
            self.unit,
            self.hardware,
            self.kind.slug().to_ascii_uppercase(),
            hex::encode_upper(&self.image[..6]),
            if self.simulated { "/SIMULATED" } else { "" },
        )
    }

    /// The same for people, line by line.
    fn lines(&self) -> Vec<String> {
        let mut lines = vec![
            format!("WANGGE {}", self.kind.slug()),
            format!("SN {}", self.serial),
            format!("unit {}  {}", self.unit, self.line),
            format!("{:04X} {}", self.hardware, self.part),
            format!("fw {}", self.version),
            hex::encode(&self.image[..6]),
        ];
        if self.simulated {
            lines.push("SIMULATED".to_owned());
        }
        lines
    }

    fn qr(&self) -> Result<QrCode, LabelError> {
        Ok(QrCode::encode_text(&self.code(), QrCodeEcc::Medium)?)
    }

    /// The label as a grey picture.
    ///
    /// # Errors
    /// [`LabelError::Code`], [`LabelError::Picture`].
    pub fn png(&self) -> Result<Vec<u8>, LabelError> {
        let (width, height) = ((WIDTH_MM * DOTS) as usize, (HEIGHT_MM * DOTS) as usize);
        let mut picture = vec![0xFF_u8; width * height];
        let code = self.qr()?;
        let side = code.size() + 2 * QUIET;
        // Whole dots for a module, or printers blur its edges.
        let dots = (CODE_MM * DOTS) as i32 / side;
        let margin = (height as i32 - dots * side) / 2;
        for y in 0..height as i32 {
            for x in 0..height as i32 {
                let module = |at: i32| (at - margin).div_euclid(dots) - QUIET;
                if code.get_module(module(x), module(y)) {
                    picture[y as usize * width + x as usize] = 0;
                }
            }
        }
        let row = FONT_HEIGHT.val() + 14;
        let lines = self.lines();
        let mut y = (height - row * lines.len()) / 2;
        for line in lines {
            write_line(&mut picture, width, height + 4, y, &line);
            y += row;
        }
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, width as u32, height as u32);
        encoder.set_color(png::ColorType::Grayscale);
        encoder.set_depth(png::BitDepth::Eight);
        let dots_per_metre = (DOTS * 1_000.0) as u32;
        encoder.set_pixel_dims(Some(png::PixelDimensions {
            xppu: dots_per_metre,
            yppu: dots_per_metre,
            unit: png::Unit::Meter,
        }));
        let mut writer = encoder.write_header()?;
        writer.write_image_data(&picture)?;
        writer.finish()?;
        Ok(bytes)
    }

    /// The label as a page of its own size, the code as drawing and the text as text.
    ///
    /// # Errors
    /// [`LabelError::Code`].
    pub fn pdf(&self) -> Result<Vec<u8>, LabelError> {
        let code = self.qr()?;
        let (width, height) = (WIDTH_MM * POINTS, HEIGHT_MM * POINTS);
        let module = CODE_MM * POINTS / (code.size() + 2 * QUIET) as f32;
        let margin = (height - CODE_MM * POINTS) / 2.0;
        let mut content = Content::new();
        for y in 0..code.size() {
            for x in 0..code.size() {
                if code.get_module(x, y) {
                    let left = margin + (x + QUIET) as f32 * module;
                    let bottom = height - margin - (y + QUIET + 1) as f32 * module;
                    content.rect(left, bottom, module, module);
                }
            }
        }
        content.fill_nonzero();
        let lines = self.lines();
        let longest = lines.iter().map(|line| line.len()).max().unwrap_or(1);
        let left = height + 1.0;
        // A letter of Courier is 0.6 of its size wide.
        let size = ((width - left - margin) / (0.6 * longest as f32)).min(8.0);
        let lead = (height - 2.0 * margin) / lines.len() as f32;
        for (number, line) in lines.iter().enumerate() {
            let bottom = height - margin - (number as f32 + 0.75) * lead;
            content
                .begin_text()
                .set_font(Name(b"F"), size)
                .next_line(left, bottom)
                .show(Str(line.as_bytes()))
                .end_text();
        }
        let [catalog, tree, page, font, stream] = [1, 2, 3, 4, 5].map(Ref::new);
        let mut pdf = Pdf::new();
        pdf.catalog(catalog).pages(tree);
        pdf.pages(tree).kids([page]).count(1);
        let mut sheet = pdf.page(page);
        sheet
            .media_box(Rect::new(0.0, 0.0, width, height))
            .parent(tree);
        sheet.contents(stream);
        sheet.resources().fonts().pair(Name(b"F"), font);
        sheet.finish();
        pdf.type1_font(font).base_font(Name(b"Courier-Bold"));
        pdf.stream(stream, &content.finish());
        Ok(pdf.finish())
    }

    /// Writes both into a folder, named by the serial number, and returns the picture's path.
    ///
    /// # Errors
    /// See [`LabelError`].
    pub fn write(&self, folder: &Path) -> Result<PathBuf, LabelError> {
        let name = format!(
            "{}{}",
            if self.simulated { "simulated-" } else { "" },
            self.serial
        );
        let put = |path: &Path, bytes: Vec<u8>| {
            fs::write(path, bytes).map_err(|error| LabelError::Io {
                path: path.to_owned(),
                error,
            })
        };
        make(folder)?;
        let picture = folder.join(&name).with_extension("png");
        put(&picture, self.png()?)?;
        put(&picture.with_extension("pdf"), self.pdf()?)?;
        Ok(picture)
    }
}

/// Makes a folder for labels, and sure that files can be made in it.
///
/// # Errors
/// [`LabelError::Io`].
pub fn make(folder: &Path) -> Result<(), LabelError> {
    fs::create_dir_all(folder)
        .and_then(|()| tempfile::tempfile_in(folder))
        .map(drop)
        .map_err(|error| LabelError::Io {
            path: folder.to_owned(),
            error,
        })
}

/// Draws ASCII text; other characters are left out.
fn write_line(picture: &mut [u8], width: usize, left: usize, top: usize, text: &str) {
    let step = get_raster_width(FONT, FONT_HEIGHT);
    for (number, letter) in text.chars().enumerate() {
        let x = left + number * step;
        let Some(raster) = get_raster(letter, FONT, FONT_HEIGHT) else {
            continue;
        };
        if x + step > width {
            return;
        }
        for (y, row) in raster.rows().enumerate() {
            for (dx, ink) in row.iter().enumerate() {
                picture[(top + y) * width + x + dx] = 0xFF - ink;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn label(serial: u64) -> Label {
        Label {
            serial,
            kind: NodeKind::Meter,
            unit: 247,
            line: "115200 8N1".to_owned(),
            hardware: 0x0104,
            part: "STM32F103CB".to_owned(),
            version: "255.255".to_owned(),
            image: [0xAB; 32],
            simulated: true,
        }
    }

    /// Somebody else's decoder reads the picture.
    #[test]
    fn the_code_says_what_the_label_does() {
        for serial in [1, 1_001, u64::MAX] {
            let label = label(serial);
            let bytes = label.png().unwrap();
            let mut reader = png::Decoder::new(io::Cursor::new(bytes))
                .read_info()
                .unwrap();
            let (width, height) = (reader.info().width as usize, reader.info().height as usize);
            let mut grey = vec![0; width * height];
            reader.next_frame(&mut grey).unwrap();
            let mut image = rqrr::PreparedImage::prepare_from_greyscale(width, height, |x, y| {
                grey[y * width + x]
            });
            let codes: Vec<String> = image
                .detect_grids()
                .iter()
                .map(|grid| grid.decode().unwrap().1)
                .collect();
            assert_eq!(codes, [label.code()]);
            assert!(label.code().contains(&format!("SN:{serial}/UNIT:247")));
        }
    }

    #[test]
    fn every_line_is_on_the_label() {
        let label = label(u64::MAX);
        let room = (WIDTH_MM - HEIGHT_MM) * DOTS;
        let step = get_raster_width(FONT, FONT_HEIGHT) as f32;
        for line in label.lines() {
            assert!(line.len() as f32 * step <= room, "{line} is cut off");
        }
        let text = String::from_utf8_lossy(&label.pdf().unwrap()).into_owned();
        assert!(text.starts_with("%PDF-"));
        for line in label.lines() {
            assert!(text.contains(&line), "no {line}");
        }
    }

    #[test]
    fn a_row_of_the_log_gives_the_same_label() {
        let label = label(9);
        let mut row = Row {
            serial: 9,
            kind: "meter".to_owned(),
            unit: 247,
            line: "115200 8N1".to_owned(),
            part: "STM32F103CB".to_owned(),
            version: "255.255".to_owned(),
            image: "ab".repeat(32),
            simulated: yes_or_no(true).to_owned(),
            ..Row::default()
        };
        let hardware = Label::of(&row).unwrap().hardware;
        assert_eq!(Label::of(&row).unwrap(), Label { hardware, ..label });
        row.part = "Z80".to_owned();
        assert!(matches!(Label::of(&row), Err(LabelError::Row(9))));
    }

    #[test]
    fn a_folder_that_takes_no_files_is_told() {
        let dir = tempfile::tempdir().unwrap();
        assert!(make(&dir.path().join("a/b")).is_ok());
        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(make(&file).is_err());
    }

    #[test]
    fn both_files_are_written() {
        let dir = tempfile::tempdir().unwrap();
        let picture = label(7).write(&dir.path().join("labels")).unwrap();
        assert!(picture.ends_with("simulated-7.png") && picture.is_file());
        assert!(picture.with_extension("pdf").is_file());
    }
}
