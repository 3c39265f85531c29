//! XML as far as answers have it.

use anyhow::{Context, Result, bail};
use quick_xml::events::{BytesStart, Event};
use serde_json::{Map, Value};

/// An element of XML.
#[derive(Debug, Default)]
pub struct Element {
    pub name: String,
    /// The value of its `xmlns`, empty where it has none.
    pub name_space: String,
    pub children: Vec<Element>,
    /// Without the white space around it.
    pub text: String,
}

impl Element {
    /// The root of a document.
    ///
    /// # Errors
    /// When it is none.
    pub fn parse(raw: &str) -> Result<Self> {
        let mut reader = quick_xml::Reader::from_str(raw);
        // The innermost open element is the last; the first stands for the document.
        let mut open = vec![Self::default()];
        let not_xml = || format!("not XML: {raw}");
        loop {
            let event = reader.read_event().with_context(not_xml)?;
            if let Event::Start(start) = &event {
                open.push(Self::opened(start)?);
                continue;
            }
            let closed = if let Event::End(_) = event { open.pop() } else { None };
            let parent = open.last_mut().with_context(not_xml)?;
            match event {
                Event::End(_) => parent.children.extend(closed),
                Event::Empty(start) => parent.children.push(Self::opened(&start)?),
                Event::Text(text) => parent.text += text.trim(),
                // Which character it is does not matter to a shape.
                Event::GeneralRef(name) => parent.text += &name,
                Event::Eof => break,
                _ => {}
            }
        }
        match &mut open[..] {
            [document] if document.children.len() == 1 => Ok(document.children.remove(0)),
            _ => bail!("not XML: {raw}"),
        }
    }

    fn opened(start: &BytesStart<'_>) -> Result<Self> {
        let name_space = start.try_get_attribute("xmlns")?.map(|attribute| attribute.value.into_owned());
        let (name, name_space) = (start.name().0.to_owned(), name_space.unwrap_or_default());
        Ok(Self { name, name_space, ..Self::default() })
    }

    /// Without a model: an element that has others in it is a structure, any other a text.
    pub fn into_json(self) -> Value {
        if self.children.is_empty() {
            return self.text.into();
        }
        self.children
            .into_iter()
            .map(|child| (child.name.clone(), child.into_json()))
            .collect::<Map<_, _>>()
            .into()
    }
}
