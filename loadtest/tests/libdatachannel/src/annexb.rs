/// An access unit delimiter, as x264 writes it with `aud=1`.
const DELIMITER: &[u8] = &[0, 0, 0, 1, 9];
/// Its length with the start code and its one byte of payload.
const DELIMITER_LEN: usize = 6;

/// The frames of an Annex B file in which a delimiter stands before each; without the delimiters, which OBS does not send.
pub fn frames(file: &[u8]) -> Vec<&[u8]> {
    let starts: Vec<usize> = file
        .windows(DELIMITER.len())
        .enumerate()
        .filter(|(_, window)| *window == DELIMITER)
        .map(|(at, _)| at)
        .collect();
    let ends = starts.iter().skip(1).copied().chain([file.len()]);
    starts
        .iter()
        .zip(ends)
        .filter_map(|(&start, end)| file.get(start + DELIMITER_LEN..end))
        .collect()
}
