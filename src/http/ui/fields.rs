//! Fields of forms: each has a label, a hint and the sentence about what is wrong with it, and keeps the text that was
//! typed. Choices have a text with their meaning.

use maud::{Markup, Render, html};

use super::problem::{Problem, id_of};

/// A field with a label, of the name that it has in the form.
#[derive(Clone, Copy, Debug)]
pub(super) struct Field<'a> {
    name: &'static str,
    label: &'a str,
    /// The hint about valid values; empty: none.
    hint: &'a str,
    /// The text that was typed before.
    value: &'a str,
    kind: FieldKind<'a>,
    required: bool,
    max_chars: Option<u16>,
    short: bool,
    /// Further classes of the whole.
    class: &'static str,
    /// The id of an element elsewhere on the page that says what is wrong with it.
    wrong: Option<&'static str>,
}

/// The content of a field, for browsers and their keyboards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FieldKind<'a> {
    /// Words.
    Text,
    /// A name that is compared character by character, such as a user name.
    Identifier,
    /// The user name with which somebody signs in, which browsers may know.
    Username,
    /// An email address.
    Email,
    /// A password that exists already.
    Password,
    /// A password that is chosen here.
    NewPassword,
    /// A password of an account elsewhere, of any length. It is set here, not checked.
    PasswordElsewhere,
    /// A whole number.
    Whole,
    /// A number, with decimals if it needs them.
    Decimal,
    /// A day; the field is the first one that can be chosen, or empty.
    Day(&'a str),
}

/// One of several things to choose, or one that can be chosen.
#[derive(Clone, Debug)]
pub(super) struct Choice<'a> {
    input: &'static str,
    id: String,
    /// The name in the form, and the value if it is chosen.
    pair: (&'static str, &'a str),
    label: &'a str,
    chosen: bool,
    /// A further class of the whole.
    class: &'static str,
}

/// Minimum and maximum number of characters of a password.
const PASSWORD_CHARS: (u16, u16) = (8, 128);

impl<'a> Field<'a> {
    /// Returns a field for words, which may be left empty.
    pub(super) fn new(name: &'static str, label: &'a str) -> Self {
        let kind = FieldKind::Text;
        Self {
            name,
            label,
            hint: "",
            value: "",
            kind,
            required: false,
            max_chars: None,
            short: false,
            class: "",
            wrong: None,
        }
    }

    /// Adds what can be typed.
    pub(super) fn hint(self, hint: &'a str) -> Self {
        Self { hint, ..self }
    }

    /// Sets what was typed before. Passwords are never shown again.
    pub(super) fn value(self, value: &'a str) -> Self {
        Self { value, ..self }
    }

    /// Sets what the field contains.
    pub(super) fn kind(self, kind: FieldKind<'a>) -> Self {
        Self { kind, ..self }
    }

    /// Has browsers refuse the form if the field is empty.
    pub(super) fn required(self) -> Self {
        Self { required: true, ..self }
    }

    /// Sets the maximum number of characters that browsers accept.
    pub(super) fn max_chars(self, max: u16) -> Self {
        Self { max_chars: Some(max), ..self }
    }

    /// Shows it short, for what needs no long one.
    pub(super) fn short(self) -> Self {
        Self { short: true, ..self }
    }

    /// Adds classes to the whole.
    pub(super) fn class(self, class: &'static str) -> Self {
        Self { class, ..self }
    }

    /// Marks it as wrong, for the reason that the element with this id states, if there is one.
    pub(super) fn wrong(self, because: Option<&'static str>) -> Self {
        Self { wrong: because, ..self }
    }

    /// Shows the field for something that is typed.
    pub(super) fn show(&self, problem: Option<&Problem>) -> Markup {
        let id = self.id();
        let plain = matches!(self.kind, FieldKind::Identifier | FieldKind::Username);
        let chosen_here = (self.kind == FieldKind::NewPassword).then_some(PASSWORD_CHARS);
        let (least, most) = (chosen_here.map(|(least, _)| least), chosen_here.map(|(_, most)| most));
        let from = if let FieldKind::Day(from) = self.kind { from } else { "" };
        self.around(
            problem,
            html! {
                input id=(id) class=[self.short.then_some("short")] name=(self.name)
                    autofocus[Problem::is_first(problem, self.name)] type=[self.kind.input_type()]
                    inputmode=[self.kind.input_mode()] autocomplete=[self.kind.autocomplete()]
                    autocapitalize=[plain.then_some("none")] spellcheck=[plain.then_some("false")] required[self.required]
                    minlength=[least] maxlength=[most.or(self.max_chars)]
                    min=[Some(from).filter(|from| !from.is_empty())] value=[self.kind.is_shown().then_some(self.value)]
                    aria-invalid=[Problem::invalid(problem, self.name).or(self.wrong.map(|_| "true"))]
                    aria-describedby=[self.description(problem).or(self.wrong.map(str::to_owned))];
            },
        )
    }

    /// Shows the field for something that is chosen of these options.
    pub(super) fn of_options(&self, problem: Option<&Problem>, options: impl Render) -> Markup {
        self.around(
            problem,
            html! {
                select id=(self.id()) class=[self.short.then_some("short")] name=(self.name)
                    autofocus[Problem::is_first(problem, self.name)]
                    aria-invalid=[Problem::invalid(problem, self.name)] aria-describedby=[self.description(problem)] {
                    (options)
                }
            },
        )
    }

    fn around(&self, problem: Option<&Problem>, element: Markup) -> Markup {
        html! {
            div class={ "field" @if !self.class.is_empty() { " " (self.class) } } {
                label for=(self.id()) { (self.label) }
                @if !self.hint.is_empty() { p.hint id=(self.hint_id()) { (self.hint) } }
                (Problem::at(problem, self.name))
                (element)
            }
        }
    }

    fn description(&self, problem: Option<&Problem>) -> Option<String> {
        let hint = if self.hint.is_empty() { String::new() } else { self.hint_id() };
        Problem::description(problem, self.name, &hint)
    }

    fn id(&self) -> &'static str {
        // Password managers look at it.
        if (self.name, self.kind) == ("password", FieldKind::Password) { "password" } else { id_of(self.name) }
    }

    fn hint_id(&self) -> String {
        format!("{}-is", self.id())
    }
}

impl FieldKind<'_> {
    fn input_type(self) -> Option<&'static str> {
        match self {
            Self::Text | Self::Identifier | Self::Username | Self::Whole | Self::Decimal => None,
            Self::Email => Some("email"),
            Self::Password | Self::NewPassword | Self::PasswordElsewhere => Some("password"),
            Self::Day(_) => Some("date"),
        }
    }

    fn input_mode(self) -> Option<&'static str> {
        match self {
            Self::Whole => Some("numeric"),
            Self::Decimal => Some("decimal"),
            Self::Text | Self::Identifier | Self::Username | Self::Email | Self::Day(_) => None,
            Self::Password | Self::NewPassword | Self::PasswordElsewhere => None,
        }
    }

    fn autocomplete(self) -> Option<&'static str> {
        match self {
            Self::Text | Self::Identifier | Self::Email => Some("off"),
            Self::Username => Some("username"),
            Self::Password => Some("current-password"),
            Self::NewPassword | Self::PasswordElsewhere => Some("new-password"),
            Self::Whole | Self::Decimal | Self::Day(_) => None,
        }
    }

    fn is_shown(self) -> bool {
        !matches!(self, Self::Password | Self::NewPassword | Self::PasswordElsewhere)
    }
}

impl<'a> Choice<'a> {
    /// Returns one of several things of which one is chosen.
    pub(super) fn radio(name: &'static str, value: &'a str, label: &'a str) -> Self {
        Self { input: "radio", id: format!("{name}-{value}"), pair: (name, value), label, chosen: false, class: "" }
    }

    /// Returns something that can be chosen. No other element of the page has this `id`.
    pub(super) fn checkbox(id: &str, pair: (&'static str, &'a str), label: &'a str) -> Self {
        Self { input: "checkbox", id: id.to_owned(), pair, label, chosen: false, class: "" }
    }

    /// Sets whether it is chosen.
    pub(super) fn chosen(self, chosen: bool) -> Self {
        Self { chosen, ..self }
    }

    /// Adds a class to the whole.
    pub(super) fn class(self, class: &'static str) -> Self {
        Self { class, ..self }
    }

    /// Shows the choice and what it means.
    pub(super) fn show(&self, meaning: impl Render) -> Markup {
        let (name, value) = self.pair;
        let meaning_id = format!("{}-is", self.id);
        html! {
            div class={ "choice" @if !self.class.is_empty() { " " (self.class) } } {
                input type=(self.input) name=(name) id=(self.id) value=(value) checked[self.chosen]
                    aria-describedby=(meaning_id);
                div { label for=(self.id) { (self.label) } p.hint id=(meaning_id) { (meaning) } }
            }
        }
    }
}
