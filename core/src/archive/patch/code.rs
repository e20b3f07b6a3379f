//! Edits of the source text: in place where all instances of a class agree, else in a copy of the class for those that do.
//!
//! A class is copied as PyTorch's own passes copy one: under a mangled name, with its attributes of a copied class declared as
//! that. Its owner is then copied too when it has instances for which nothing changes, and so on up to the root. A function
//! that has to change is copied too, since it may have other callers, and the method that calls it names the copy.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::NotPatched;

/// Bytes of source text that copies of classes may have. The program of a published network has less than one MiB.
const MOST_COPIED: usize = 32 << 20;

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

/// Edits by instance, then by the method and the functions that it called until the place (see [`Place`](super::Place)).
pub(super) type EditsByInstance = BTreeMap<usize, BTreeMap<Vec<String>, BTreeSet<TextEdit>>>;

/// Applies the edits of each instance.
pub(super) fn edit(
    files: &BTreeMap<String, String>,
    instances: &[Instance],
    edits: &EditsByInstance,
) -> Result<Edited, NotPatched> {
    let mut names = Names::of(files);
    let mut classes: Vec<String> = instances.iter().map(|instance| instance.class.clone()).collect();
    let mut changes = Changes { files, in_place: BTreeMap::new(), new: BTreeMap::new(), copied: 0 };
    let mut by_instance: BTreeMap<usize, BTreeSet<TextEdit>> = BTreeMap::new();
    let mut functions = Functions { files, copies: BTreeMap::new(), new: BTreeMap::new() };
    for (&instance, edits) in edits {
        let own = functions.edits_of_methods(&instances[instance].class, edits.clone(), &mut names)?;
        by_instance.insert(instance, own);
    }
    changes.new.extend(functions.new);
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
        // One kind of instance keeps the name: those that stay as they are, where there are any.
        let mut is_taken = needs.contains_key(&Need::default());
        for ((edits, changed), members) in needs {
            if edits.is_empty() && changed.is_empty() {
                continue;
            }
            let text = Definition::find(files, &class)?;
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
            if !std::mem::replace(&mut is_taken, true) {
                changes.in_place.entry(text.record.clone()).or_default().extend(splices);
                continue;
            }
            let name = names.next(&class);
            changes.grow(&text)?;
            splices.extend(text.mentions(&class).into_iter().map(|range| (range, name.clone())));
            changes.new.insert(record_of(&name), text.copy(splices)?);
            for member in members {
                classes[member].clone_from(&name);
            }
        }
    }
    Ok(Edited { files: changes.finish()?, classes })
}

/// The copies of functions.
struct Functions<'a> {
    files: &'a BTreeMap<String, String>,
    /// Names by function and edits.
    copies: BTreeMap<(String, BTreeSet<TextEdit>), String>,
    /// New files by record.
    new: BTreeMap<String, String>,
}

impl Functions<'_> {
    /// Copies the functions that edits are in, the innermost first, and returns the edits of the methods, which name the copies.
    fn edits_of_methods(
        &mut self,
        class: &str,
        mut edits: BTreeMap<Vec<String>, BTreeSet<TextEdit>>,
        names: &mut Names,
    ) -> Result<BTreeSet<TextEdit>, NotPatched> {
        while let Some(calls) = edits.keys().max_by_key(|calls| calls.len()).filter(|calls| calls.len() > 1).cloned() {
            let needed = edits.remove(&calls).unwrap_or_default();
            let (function, callers) = calls.split_last().expect("it has a caller");
            let copy = self.copy(function, needed, names)?;
            let caller = match callers {
                [method] => Definition::find(self.files, class)?.method(method)?,
                [.., outer] => Definition::function(self.files, outer)?,
                [] => return Err(NotPatched::new(format!("nothing calls `{function}`"))),
            };
            let mentions = caller.mentions(function);
            if mentions.is_empty() {
                return Err(NotPatched::new(format!("it cannot be told where `{function}` is called")));
            }
            let renamed = mentions.into_iter().map(|range| TextEdit {
                record: caller.record.clone(),
                start: range.start,
                end: range.end,
                text: copy.clone(),
            });
            edits.entry(callers.to_vec()).or_default().extend(renamed);
        }
        Ok(edits.into_values().flatten().collect())
    }

    /// The name of a copy with these edits.
    fn copy(&mut self, function: &str, edits: BTreeSet<TextEdit>, names: &mut Names) -> Result<String, NotPatched> {
        let key = (function.to_owned(), edits);
        if let Some(name) = self.copies.get(&key) {
            return Ok(name.clone());
        }
        let name = names.next(function);
        let text = Definition::function(self.files, function)?;
        let splices = key.1.iter().map(|edit| (edit.start..edit.end, edit.text.clone())).collect();
        self.new.insert(record_of(&name), text.copy(splices)?);
        self.copies.insert(key, name.clone());
        Ok(name)
    }
}

struct Changes<'a> {
    files: &'a BTreeMap<String, String>,
    in_place: BTreeMap<String, Vec<(Range<usize>, String)>>,
    new: BTreeMap<String, String>,
    /// Bytes of the classes that were copied.
    copied: usize,
}

impl Changes<'_> {
    /// One more class is copied.
    fn grow(&mut self, class: &Definition<'_>) -> Result<(), NotPatched> {
        self.copied += class.bytes.len();
        if self.copied > MOST_COPIED {
            return Err(NotPatched::new(format!(
                "its classes would have to be copied so often that the copies have more than {} MiB",
                MOST_COPIED >> 20
            )));
        }
        Ok(())
    }

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

/// A class or a function in its file.
struct Definition<'a> {
    record: String,
    file: &'a str,
    bytes: Range<usize>,
}

impl<'a> Definition<'a> {
    fn find(files: &'a BTreeMap<String, String>, class: &str) -> Result<Self, NotPatched> {
        Self::by_keyword(files, "class", class)
    }

    fn function(files: &'a BTreeMap<String, String>, function: &str) -> Result<Self, NotPatched> {
        Self::by_keyword(files, "def", function)
    }

    fn by_keyword(files: &'a BTreeMap<String, String>, keyword: &str, class: &str) -> Result<Self, NotPatched> {
        let record = record_of(class);
        let file = files.get(&record).ok_or_else(|| missing(&record))?;
        let head = format!("{keyword} {}(", class.rsplit('.').next().unwrap_or(class));
        let mut lines = lines(file);
        let start = lines.find(|(_, line)| line.starts_with(&head)).map(|(start, _)| start);
        let start = start.ok_or_else(|| NotPatched::new(format!("`{record}` does not define `{class}`")))?;
        // Up to the next line that is not indented.
        let end = lines.find(|(_, line)| !line.starts_with([' ', '\t', '\n', '\r'])).map_or(file.len(), |(end, _)| end);
        Ok(Self { record, file, bytes: start..end })
    }

    /// A method of the class.
    fn method(mut self, name: &str) -> Result<Self, NotPatched> {
        let head = format!("  def {name}(");
        let text = &self.file[self.bytes.clone()];
        let mut lines = lines(text);
        let start = lines.find(|(_, line)| line.starts_with(&head)).map(|(start, _)| start);
        let start = start.ok_or_else(|| NotPatched::new(format!("`{}` has no method `{name}`", self.record)))?;
        let end = lines.find(|(_, line)| line.starts_with("  def ")).map_or(text.len(), |(end, _)| end);
        self.bytes = self.bytes.start + start..self.bytes.start + end;
        Ok(self)
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
        Err(NotPatched::new(format!(
            "the attribute `{attribute}` is not declared as `{class}`, of which a copy is needed"
        )))
    }

    /// Where a class or a function is named.
    fn mentions(&self, class: &str) -> Vec<Range<usize>> {
        let text = &self.file[self.bytes.clone()];
        let is_part =
            |byte: Option<&u8>| byte.is_some_and(|&byte| byte.is_ascii_alphanumeric() || b"_.".contains(&byte));
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
    const NET: &str = "class Net(Module):\n  a : __torch__.Conv\n  __annotations__[\"1\"] = __torch__.Conv\n  def forward(self: \
         __torch__.Net) -> int:\n    return 8\n";

    fn files() -> BTreeMap<String, String> {
        BTreeMap::from([("code/__torch__.py".to_owned(), format!("{CONV}{NET}"))])
    }

    fn net() -> Vec<Instance> {
        let conv = || Instance { class: "__torch__.Conv".to_owned(), children: Vec::new() };
        let children = vec![("a".to_owned(), 1), ("1".to_owned(), 2)];
        vec![Instance { class: "__torch__.Net".to_owned(), children }, conv(), conv()]
    }

    fn literal(text: &str) -> BTreeMap<Vec<String>, BTreeSet<TextEdit>> {
        let start = CONV.find("8])").unwrap();
        let record = "code/__torch__.py".to_owned();
        let edit = TextEdit { record, start, end: start + 1, text: text.to_owned() };
        BTreeMap::from([(vec!["forward".to_owned()], BTreeSet::from([edit]))])
    }

    #[test]
    fn a_class_whose_instances_agree_is_changed_in_place() {
        let needs = BTreeMap::from([(1, literal("5")), (2, literal("5"))]);
        let edited = edit(&files(), &net(), &needs).unwrap();
        assert_eq!(edited.classes, ["__torch__.Net", "__torch__.Conv", "__torch__.Conv"]);
        assert_eq!(edited.files["code/__torch__.py"], format!("{CONV}{NET}").replace("[1, 8]", "[1, 5]"));
        assert_eq!(edited.files.len(), 1);
    }

    #[test]
    fn an_instance_that_differs_gets_a_copy_and_its_owner_declares_it() {
        let needs = BTreeMap::from([(2, literal("5"))]);
        let edited = edit(&files(), &net(), &needs).unwrap();
        let copy = "__torch__.___torch_mangle_0.Conv";
        assert_eq!(edited.classes, ["__torch__.Net", "__torch__.Conv", copy]);
        let declared = NET.replace("[\"1\"] = __torch__.Conv", &format!("[\"1\"] = {copy}"));
        assert_eq!(edited.files["code/__torch__.py"], format!("{CONV}{declared}"));
        let text = CONV.replace("[1, 8]", "[1, 5]").replace("self: __torch__.Conv", &format!("self: {copy}"));
        assert_eq!(edited.files["code/__torch__/___torch_mangle_0.py"], text);
    }

    #[test]
    fn a_class_is_not_copied_without_end() {
        let long = format!("{CONV}  def more(self: __torch__.Conv) -> str:\n    return \"{}\"\n", "x".repeat(1 << 20));
        let files = BTreeMap::from([("code/__torch__.py".to_owned(), long)]);
        let conv = |_| Instance { class: "__torch__.Conv".to_owned(), children: Vec::new() };
        let instances: Vec<Instance> = (0..40).map(conv).collect();
        let needs = (0..40).map(|instance: usize| (instance, literal(&instance.to_string()))).collect();
        let refused = edit(&files, &instances, &needs).unwrap_err();
        assert!(refused.to_string().contains("more than 32 MiB"), "{refused}");
    }

    #[test]
    fn two_changes_of_one_place_are_refused() {
        let method = vec!["forward".to_owned()];
        let both: BTreeSet<TextEdit> = ["5", "6"].into_iter().flat_map(|text| literal(text)[&method].clone()).collect();
        let both = BTreeMap::from([(method, both)]);
        let needs = BTreeMap::from([(1, both.clone()), (2, both)]);
        assert!(edit(&files(), &net(), &needs).is_err());
    }

    #[test]
    fn a_function_is_copied_for_the_method_that_needs_another_one() {
        let function = "def heads(x: Tensor) -> Tensor:\n  return torch.view(x, [2, 4])\n";
        let class = "class A(Module):\n  def forward(self: __torch__.A,\n    x: Tensor) -> Tensor:\n    _0 = __torch__.f.heads\n    \
                     return _0(x, )\n  def other(self: __torch__.A,\n    x: Tensor) -> Tensor:\n    return __torch__.f.heads(x, )\n";
        let files = BTreeMap::from([
            ("code/__torch__/f.py".to_owned(), function.to_owned()),
            ("code/__torch__.py".to_owned(), class.to_owned()),
        ]);
        let start = function.find("4]").unwrap();
        let record = "code/__torch__/f.py".to_owned();
        let change = TextEdit { record, start, end: start + 1, text: "3".to_owned() };
        let calls = vec!["forward".to_owned(), "__torch__.f.heads".to_owned()];
        let needs = BTreeMap::from([(0, BTreeMap::from([(calls, BTreeSet::from([change]))]))]);
        let instance = Instance { class: "__torch__.A".to_owned(), children: Vec::new() };
        let edited = edit(&files, &[instance], &needs).unwrap();
        let copy = "__torch__.f.___torch_mangle_0.heads";
        assert_eq!(edited.files["code/__torch__.py"], class.replacen("__torch__.f.heads", copy, 1));
        assert_eq!(edited.files["code/__torch__/f/___torch_mangle_0.py"], function.replace("4]", "3]"));
        assert_eq!(edited.files.len(), 2);
    }
}
