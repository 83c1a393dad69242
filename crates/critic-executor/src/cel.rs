use std::fmt;
use std::sync::Arc;

use ::cel::common::ast::{EntryExpr, Expr, IdedExpr};
use ::cel::{Context, Program, Value as CelValue};
use serde_json::{Value, json};

use crate::evidence::EvidenceView;
use crate::input::RunInput;
use crate::policy::{GateAnswer, Policy};

/// Longest source, in bytes.
const MAX_SOURCE_BYTES: usize = 16 * 1024;
/// Deepest nesting, so that neither parser nor evaluation can run out of stack.
const MAX_DEPTH: usize = 64;
/// The parser calls itself for every level; a thread of its own has room for the longest source.
const PARSER_STACK_BYTES: usize = 64 * 1024 * 1024;

/// A policy as an expression in CEL.
///
/// It sees `input.input`, `input.output`, `input.context`, `risk` (a string such as `"high"`) and
/// `evidence.<name>` with `answered`, `severity`, `uncertainty`, `violations` (codes) and `verdict`. What is not
/// there makes the gate unknown, and so does every other error.
#[derive(Clone)]
pub struct CelExpression {
    source: Arc<str>,
    program: Result<Arc<Program>, String>,
}

impl CelExpression {
    fn new(source: &str) -> Self {
        let program = compile(source).map(Arc::new);
        Self { source: source.into(), program }
    }

    /// The expression as it was written.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    pub(crate) fn evaluate(&self, input: &RunInput, evidence: &EvidenceView<'_>) -> GateAnswer {
        let Ok(program) = &self.program else {
            return GateAnswer::Unknown("it does not compile".to_owned());
        };
        let mut context = Context::default();
        let texts = json!({
            "input": input.input_text(),
            "output": input.output_text(),
            "context": input.context_map(),
        });
        let mut items = serde_json::Map::new();
        for item in evidence.iter() {
            items.insert(item.name.to_owned(), describe(&item));
        }
        let mut variables = vec![("input", texts), ("evidence", Value::Object(items))];
        if let Some(risk) = input.risk_level() {
            variables.push(("risk", json!(risk.as_str())));
        }
        for (name, value) in variables {
            if let Err(error) = context.add_variable(name, value) {
                return GateAnswer::Unknown(error.to_string());
            }
        }
        match program.execute(&context) {
            Ok(CelValue::Bool(true)) => GateAnswer::Run,
            Ok(CelValue::Bool(false)) => GateAnswer::Gate(format!("`{}` is false", self.source)),
            Ok(other) => GateAnswer::Unknown(format!(
                "the expression gave {other:?} instead of true or false"
            )),
            Err(error) => GateAnswer::Unknown(error.to_string()),
        }
    }
}

impl fmt::Debug for CelExpression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CelExpression({})", self.source)
    }
}

impl Policy {
    /// A policy as an expression in CEL. Building the plan fails if it does not compile, is longer than 16 KiB, is
    /// nested deeper than 64 levels, or has one comprehension within another.
    ///
    /// ```
    /// use critic_executor::Policy;
    ///
    /// let policy = Policy::cel(r#"risk == "high" || evidence.words.severity > 0.5"#);
    /// assert_eq!(policy.name(), "cel");
    /// ```
    #[must_use]
    pub fn cel(source: &str) -> Self {
        Self::Cel(CelExpression::new(source))
    }

    /// Whether all expressions compile, and what is wrong with the first that does not.
    pub(crate) fn compile_errors(&self) -> Result<(), String> {
        match self {
            Self::Cel(expression) => expression.program.as_ref().map(|_| ()).map_err(Clone::clone),
            Self::All(policies) | Self::Any(policies) => {
                policies.iter().try_for_each(Self::compile_errors)
            }
            Self::Not(policy) => policy.compile_errors(),
            _ => Ok(()),
        }
    }
}

fn describe(item: &crate::evidence::EvidenceItem<'_>) -> Value {
    match item.output {
        None => json!({ "answered": false, "status": item.status.as_str() }),
        Some(output) => {
            let finding = &output.finding;
            let violations: Vec<_> =
                finding.violations.iter().map(|violation| &violation.code).collect();
            json!({
                "answered": true,
                "status": item.status.as_str(),
                "severity": finding.severity,
                "uncertainty": finding.uncertainty.unwrap_or(0.0),
                "violations": violations,
                "verdict": item.contribution.as_str(),
            })
        }
    }
}

fn compile(source: &str) -> Result<Program, String> {
    if source.len() > MAX_SOURCE_BYTES {
        return Err(format!("{} bytes, at most {MAX_SOURCE_BYTES}", source.len()));
    }
    check_nesting(source)?;
    let source = source.to_owned();
    let parser = std::thread::Builder::new().stack_size(PARSER_STACK_BYTES).spawn(move || {
        let program = Program::compile(&source).map_err(|errors| errors.to_string())?;
        check_tree(program.expression())?;
        Ok(program)
    });
    let parsed = parser.map_err(|error| format!("cannot start the parser: {error}"))?.join();
    parsed.unwrap_or_else(|panic| {
        Err(format!("the parser failed: {}", crate::catch::PanicMessage::of(&*panic).0))
    })
}

/// Brackets and prefix operators nest before anything is parsed.
fn check_nesting(source: &str) -> Result<(), String> {
    let (mut depth, mut prefixes) = (0_usize, 0_usize);
    for byte in source.bytes() {
        match byte {
            b'(' | b'[' | b'{' | b'?' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        prefixes = match byte {
            b'!' | b'-' => prefixes + 1,
            byte if byte.is_ascii_whitespace() => prefixes,
            _ => 0,
        };
        if depth > MAX_DEPTH || prefixes > MAX_DEPTH {
            return Err(format!("nested deeper than {MAX_DEPTH} levels"));
        }
    }
    Ok(())
}

/// Looks at every node of the tree, without calling itself.
fn check_tree(root: &IdedExpr) -> Result<(), String> {
    let mut rest = vec![(root, 0_usize, false)];
    while let Some((node, depth, in_comprehension)) = rest.pop() {
        // A chain of operators is as deep as it is long; evaluation calls itself for each.
        if depth > MAX_DEPTH * 8 {
            return Err(format!("nested deeper than {} levels", MAX_DEPTH * 8));
        }
        let mut visit = |child, in_comprehension| rest.push((child, depth + 1, in_comprehension));
        match &node.expr {
            Expr::Unspecified | Expr::Ident(_) | Expr::Literal(_) => {}
            Expr::Call(call) => {
                call.target.iter().for_each(|target| visit(target, in_comprehension));
                call.args.iter().for_each(|argument| visit(argument, in_comprehension));
            }
            Expr::Comprehension(_) if in_comprehension => {
                return Err("a comprehension within another".to_owned());
            }
            Expr::Comprehension(inner) => {
                let parts = [
                    &inner.iter_range,
                    &inner.accu_init,
                    &inner.loop_cond,
                    &inner.loop_step,
                    &inner.result,
                ];
                parts.into_iter().for_each(|part| visit(part, true));
            }
            Expr::List(list) => {
                list.elements.iter().for_each(|element| visit(element, in_comprehension))
            }
            Expr::Select(select) => visit(&select.operand, in_comprehension),
            Expr::Map(map) => {
                entries(&map.entries).for_each(|entry| visit(entry, in_comprehension))
            }
            Expr::Struct(fields) => {
                entries(&fields.entries).for_each(|entry| visit(entry, in_comprehension))
            }
        }
    }
    Ok(())
}

fn entries(entries: &[::cel::common::ast::IdedEntryExpr]) -> impl Iterator<Item = &IdedExpr> {
    entries.iter().flat_map(|entry| match &entry.expr {
        EntryExpr::StructField(field) => vec![&field.value],
        EntryExpr::MapEntry(entry) => vec![&entry.key, &entry.value],
    })
}
