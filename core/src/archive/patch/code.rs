//! Edits of the source text: in place where all instances of a class agree, else in a copy of the class for those that do.
//!
//! A class is copied as PyTorch's own passes copy one: under a mangled name, with its attributes of a copied class declared as
//! that. Its owner is then copied too when it has instances for which nothing changes, and so on up to the root.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::NotPatched;

/// A replacement in a source file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct TextEdit {
    pub record: String,
    pub start: usize,
    pub end: usize,
    pub text: String,
}

/// An object of one of the archive's classes.
#[derive(Debug)]
pub(super) struct Instance {
    pub class: String,
    /// Its attributes that are objects, by name, each an index among the instances; children come after their owner.
    pub children: Vec<(String, usize)>,
}

/// The source files after the edits, and the classes of the instances.
#[derive(Debug)]
pub(super) struct Edited {
    /// Files that changed or are new, by record.
    pub files: BTreeMap<String, String>,
    /// The class of each instance.
    pub classes: Vec<String>,
}

/// What makes two instances of a class need the same text.
type Need = (BTreeSet<TextEdit>, Vec<(String, String)>);

/// Applies the edits of each instance (`by_instance`) and those outside of classes.
pub(super) fn edit(
    files: &BTreeMap<String, String>,
    instances: &[Instance],
    by_instance: &BTreeMap<usize, BTreeSet<TextEdit>>,
    of_functions: &BTreeSet<TextEdit>,
) -> Result<Edited, NotPatched> {
    let mut names = Names::of(files);
    let mut classes: Vec<String> = instances.iter().map(|instance| instance.class.clone()).collect();
    let mut changes = Changes { files, in_place: BTreeMap::new(), new: BTreeMap::new() };
    for edit in of_functions {
        changes.in_place.entry(edit.record.clone()).or_default().push((edit.start..edit.end, edit.text.clone()));
    }
    for class in by_height(instances) {
        let members: Vec<usize> = (0..instances.len()).filter(|&index| instances[index].class == class).collect();
        let mut needs: BTreeMap<Need, Vec<usize>> = BTreeMap::new();
        for &member in &members {
            let edits = by_instance.get(&member).cloned().unwrap_or_default();
            let children = instances[member].children.iter();
            let changed = children.filter(|(_, child)| classes[*child] != instances[*child].class);
            let changed = changed.map(|(name, child)| (name.clone(), classes[*child].clone())).collect();
            needs.entry((edits, changed)).or_default().push(member);
        }
        let agree = needs.len() == 1;
        for ((edits, changed), members) in needs {
            if edits.is_empty() && changed.is_empty() {
                continue;
            }
            let text = ClassText::find(files, &class)?;
            let mut splices: Vec<(Range<usize>, String)> = Vec::new();
            for edit in edits {
                if edit.record != text.record || edit.start < text.bytes.start || edit.end > text.bytes.end {
                    return Err(NotPatched::new(format!("a change lies outside of the class `{class}`")));
                }
                splices.push((edit.start..edit.end, edit.text));
            }
            for (attribute, new) in changed {
                let old = instances[members[0]].children.iter().find(|(name, _)| *name == attribute);
                let old = old.map(|&(_, child)| instances[child].class.as_str()).unwrap_or_default();
                splices.push((text.declared_type(&attribute, old)?, new));
            }
            if agree {
                changes.in_place.entry(text.record.clone()).or_default().extend(splices);
                continue;
            }
            let name = names.next(&class);
            splices.extend(text.own_names(&class).into_iter().map(|range| (range, name.clone())));
            changes.new.insert(record_of(&name), text.copy(splices)?);
            for member in members {
                classes[member].clone_from(&name);
            }
        }
    }
    Ok(Edited { files: changes.finish()?, classes })
}

struct Changes<'a> {
    files: &'a BTreeMap<String, String>,
    in_place: BTreeMap<String, Vec<(Range<usize>, String)>>,
    new: BTreeMap<String, String>,
}

impl Changes<'_> {
    fn finish(self) -> Result<BTreeMap<String, String>, NotPatched> {
        let mut files = self.new;
        for (record, splices) in self.in_place {
            let text = self.files.get(&record).ok_or_else(|| missing(&record))?;
            files.insert(record, spliced(text, 0..text.len(), splices)?);
        }
        Ok(files)
    }
}

/// Classes so that each comes after those of its attributes.
fn by_height(instances: &[Instance]) -> Vec<String> {
    let mut heights = vec![0; instances.len()];
    let mut of_class: BTreeMap<&str, usize> = BTreeMap::new();
    for index in (0..instances.len()).rev() {
        let children = instances[index].children.iter().filter(|&&(_, child)| child > index);
        heights[index] = children.map(|&(_, child)| heights[child] + 1).max().unwrap_or(0);
        let height = of_class.entry(&instances[index].class).or_default();
        *height = heights[index].max(*height);
    }
    let mut classes: Vec<(usize, &str)> = of_class.into_iter().map(|(class, height)| (height, class)).collect();
    classes.sort_unstable();
    classes.into_iter().map(|(_, class)| class.to_owned()).collect()
}

/// A class in its file.
struct ClassText<'a> {
    record: String,
    file: &'a str,
    bytes: Range<usize>,
}

impl<'a> ClassText<'a> {
    fn find(files: &'a BTreeMap<String, String>, class: &str) -> Result<Self, NotPatched> {
        let record = record_of(class);
        let file = files.get(&record).ok_or_else(|| missing(&record))?;
        let head = format!("class {}(", class.rsplit('.').next().unwrap_or(class));
        let mut lines = lines(file);
        let start = lines.find(|(_, line)| line.starts_with(&head)).map(|(start, _)| start);
        let start = start.ok_or_else(|| NotPatched::new(format!("`{record}` has no class `{class}`")))?;
        // Up to the next line that is not indented.
        let end = lines.find(|(_, line)| !line.starts_with([' ', '\t', '\n', '\r'])).map_or(file.len(), |(end, _)| end);
        Ok(Self { record, file, bytes: start..end })
    }

    /// Where the type of an attribute is declared as `class`.
    fn declared_type(&self, attribute: &str, class: &str) -> Result<Range<usize>, NotPatched> {
        let heads = [format!("{attribute} : "), format!("__annotations__[\"{attribute}\"] = ")];
        for (offset, line) in lines(&self.file[self.bytes.clone()]) {
            let declaration = line.trim_start();
            let Some(head) = heads.iter().find(|head| declaration.starts_with(head.as_str())) else { continue };
            if declaration[head.len()..].trim_end() == class {
                let start = self.bytes.start + offset + line.len() - declaration.len() + head.len();
                return Ok(start..start + class.len());
            }
        }
        Err(NotPatched::new(format!("the attribute `{attribute}` is not declared as `{class}`, of which a copy is needed")))
    }

    /// Where the class names itself.
    fn own_names(&self, class: &str) -> Vec<Range<usize>> {
        let text = &self.file[self.bytes.clone()];
        let is_part = |byte: Option<&u8>| byte.is_some_and(|&byte| byte.is_ascii_alphanumeric() || b"_.".contains(&byte));
        let found = text.match_indices(class).filter(|(at, _)| {
            let before = at.checked_sub(1).and_then(|before| text.as_bytes().get(before));
            !is_part(before) && !is_part(text.as_bytes().get(at + class.len()))
        });
        found.map(|(at, _)| self.bytes.start + at..self.bytes.start + at + class.len()).collect()
    }

    fn copy(&self, splices: Vec<(Range<usize>, String)>) -> Result<String, NotPatched> {
        spliced(self.file, self.bytes.clone(), splices)
    }
}

/// Lines with their line ends and where they start.
fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.split_inclusive('\n').scan(0, |position, line| {
        let start = *position;
        *position += line.len();
        Some((start, line))
    })
}

/// A part of a text with replacements at places of the whole text.
fn spliced(text: &str, part: Range<usize>, mut splices: Vec<(Range<usize>, String)>) -> Result<String, NotPatched> {
    splices.sort_by_key(|(range, _)| (range.start, range.end));
    splices.dedup();
    let mut result = String::with_capacity(part.len());
    let mut done = part.start;
    for (range, replacement) in splices {
        let kept = text.get(done..range.start);
        let kept = kept.ok_or_else(|| NotPatched::new("two changes of the source text overlap".to_owned()))?;
        result.push_str(kept);
        result.push_str(&replacement);
        done = range.end;
    }
    result.push_str(text.get(done..part.end).unwrap_or_default());
    Ok(result)
}

/// The source file of a class, `code/__torch__/net.py` of `__torch__.net.Net`.
fn record_of(class: &str) -> String {
    let module = class.rsplit_once('.').map_or("", |(module, _)| module);
    format!("code/{}.py", module.replace('.', "/"))
}

fn missing(record: &str) -> NotPatched {
    NotPatched::new(format!("the source file `{record}` is missing"))
}

/// Names that the archive does not have yet.
struct Names {
    next: u64,
}

impl Names {
    const MANGLE: &'static str = "___torch_mangle_";

    fn of(files: &BTreeMap<String, String>) -> Self {
        let numbers = files.iter().flat_map(|(record, text)| [record.as_str(), text]).flat_map(|text| {
            text.match_indices(Self::MANGLE).filter_map(|(at, _)| {
                let digits = &text[at + Self::MANGLE.len()..];
                let length = digits.bytes().take_while(u8::is_ascii_digit).count();
                digits[..length].parse::<u64>().ok()
            })
        });
        Self { next: numbers.max().map_or(0, |number| number.saturating_add(1)) }
    }

    /// A new name for a copy of a class.
    fn next(&mut self, class: &str) -> String {
        let mangle = format!("{}{}", Self::MANGLE, self.next);
        self.next += 1;
        let (module, name) = class.rsplit_once('.').unwrap_or(("__torch__", class));
        match module.rsplit_once('.') {
            Some((outer, last)) if last.starts_with(Self::MANGLE) => format!("{outer}.{mangle}.{name}"),
            _ => format!("{module}.{mangle}.{name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONV: &str = "class Conv(Module):\n  groups : Final[int] = 8\n  def forward(self: __torch__.Conv,\n    x: Tensor) -> \
                        Tensor:\n    return torch.view(x, [1, 8])\n";
    const NET: &str =
        "class Net(Module):\n  a : __torch__.Conv\n  __annotations__[\"1\"] = __torch__.Conv\n  def forward(self: \
         __torch__.Net) -> int:\n    return 8\n";

    fn files() -> BTreeMap<String, String> {
        BTreeMap::from([("code/__torch__.py".to_owned(), format!("{CONV}{NET}"))])
    }

    fn net() -> Vec<Instance> {
        let conv = || Instance { class: "__torch__.Conv".to_owned(), children: Vec::new() };
        let children = vec![("a".to_owned(), 1), ("1".to_owned(), 2)];
        vec![Instance { class: "__torch__.Net".to_owned(), children }, conv(), conv()]
    }

    fn literal(text: &str) -> BTreeSet<TextEdit> {
        let start = CONV.find("8])").unwrap();
        BTreeSet::from([TextEdit {
            record: "code/__torch__.py".to_owned(),
            start,
            end: start + 1,
            text: text.to_owned(),
        }])
    }

    #[test]
    fn a_class_whose_instances_agree_is_changed_in_place() {
        let needs = BTreeMap::from([(1, literal("5")), (2, literal("5"))]);
        let edited = edit(&files(), &net(), &needs, &BTreeSet::new()).unwrap();
        assert_eq!(edited.classes, ["__torch__.Net", "__torch__.Conv", "__torch__.Conv"]);
        assert_eq!(edited.files["code/__torch__.py"], format!("{CONV}{NET}").replace("[1, 8]", "[1, 5]"));
        assert_eq!(edited.files.len(), 1);
    }

    #[test]
    fn an_instance_that_differs_gets_a_copy_and_its_owner_declares_it() {
        let needs = BTreeMap::from([(2, literal("5"))]);
        let edited = edit(&files(), &net(), &needs, &BTreeSet::new()).unwrap();
        let copy = "__torch__.___torch_mangle_0.Conv";
        assert_eq!(edited.classes, ["__torch__.Net", "__torch__.Conv", copy]);
        let declared = NET.replace("[\"1\"] = __torch__.Conv", &format!("[\"1\"] = {copy}"));
        assert_eq!(edited.files["code/__torch__.py"], format!("{CONV}{declared}"));
        let text = CONV.replace("[1, 8]", "[1, 5]").replace("self: __torch__.Conv", &format!("self: {copy}"));
        assert_eq!(edited.files["code/__torch__/___torch_mangle_0.py"], text);
    }

    #[test]
    fn two_changes_of_one_place_are_refused() {
        let both: BTreeSet<TextEdit> = literal("5").into_iter().chain(literal("6")).collect();
        let needs = BTreeMap::from([(1, both.clone()), (2, both)]);
        assert!(edit(&files(), &net(), &needs, &BTreeSet::new()).is_err());
    }
}
