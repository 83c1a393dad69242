//! Rewrites a compiled template so that everything whose cost depends on values goes through metered
//! functions.
//!
//! The interpreter counts steps, which does not stop `{% set x = x ~ x %}` from doubling a text forty
//! times. So each such instruction is replaced by a call of a function (`operations.rs`) under a name that
//! no template can spell.

use minijinja::Value;
use minijinja::machinery::{CodeGenerator, Instruction, Instructions, Token, parse, tokenize};
use minijinja::syntax::SyntaxConfig;

use crate::PromptError;

/// Compiles `source` into instructions that are safe to run.
pub(crate) fn compile(source: &str) -> Result<Instructions<'_>, PromptError> {
    let syntax = syntax()?;
    refuse_constant_products(source, &syntax)?;
    let statement = parse(source, "chat_template", syntax).map_err(|error| invalid(&error))?;
    let mut generator = CodeGenerator::new("chat_template", source);
    generator.compile_stmt(&statement);
    let (compiled, _blocks) = generator.finish();
    harden(&compiled)
}

/// Whitespace as Hugging Face's templates expect it.
fn syntax() -> Result<SyntaxConfig, PromptError> {
    let mut builder = SyntaxConfig::builder();
    builder.trim_blocks(true).lstrip_blocks(true);
    builder.build().map_err(|error| invalid(&error))
}

/// The compiler computes products of constants, so `"x" * 100000000` must not reach it. A product is let
/// through when both sides begin and end with a name or a number.
fn refuse_constant_products(source: &str, syntax: &SyntaxConfig) -> Result<(), PromptError> {
    let is_number_or_name =
        |token: &Token<'_>| matches!(token, Token::Ident(_) | Token::Int(_) | Token::Float(_));
    let mut before: Option<Token<'_>> = None;
    let mut after_product = false;
    for token in tokenize(source, false, syntax.clone()) {
        let (token, _span) = token.map_err(|error| invalid(&error))?;
        let is_product = matches!(token, Token::Mul);
        if (after_product && !is_number_or_name(&token))
            || (is_product && !before.as_ref().is_some_and(is_number_or_name))
        {
            let message = "it multiplies something other than names and numbers".to_owned();
            return Err(PromptError::InvalidTemplate { message });
        }
        after_product = is_product;
        before = Some(token);
    }
    Ok(())
}

fn harden<'s>(compiled: &Instructions<'s>) -> Result<Instructions<'s>, PromptError> {
    let mut hardened = Instructions::new(compiled.name(), compiled.source());
    // Where each old instruction went; raw text becomes two.
    let (mut moved_to, mut end) = (Vec::new(), 0);
    let mut index = 0;
    while let Some(instruction) = compiled.get(index) {
        let line = compiled.get_line(index).and_then(|line| u16::try_from(line).ok()).unwrap_or(0);
        moved_to.push(end);
        let last = if let Instruction::EmitRaw(text) = instruction {
            hardened.add_with_line(Instruction::LoadConst(Value::from(*text)), line);
            hardened.add_with_line(Instruction::Emit, line)
        } else {
            hardened.add_with_line(replacement(instruction, line)?, line)
        };
        end = last + 1;
        index += 1;
    }
    // A jump may lead behind the last instruction.
    moved_to.push(end);
    let mut index = 0;
    while let Some(instruction) = hardened.get_mut(index) {
        match instruction {
            Instruction::Iterate(target)
            | Instruction::Jump(target)
            | Instruction::JumpIfFalse(target)
            | Instruction::JumpIfFalseOrPop(target)
            | Instruction::JumpIfTrueOrPop(target)
            | Instruction::BuildMacro(_, target, _) => *target = moved_to[*target as usize],
            _ => {}
        }
        index += 1;
    }
    Ok(hardened)
}

fn replacement<'s>(
    instruction: &Instruction<'s>,
    line: u16,
) -> Result<Instruction<'s>, PromptError> {
    let refuse = |what: String| PromptError::InvalidTemplate {
        message: format!("line {line} uses {what}, which is not supported"),
    };
    let call = |operation: &'static str, count: usize| match u16::try_from(count) {
        Ok(count) => Ok(Instruction::CallFunction(operation, Some(count))),
        Err(_over) => Err(refuse(format!("a literal of {count} values"))),
    };
    match instruction {
        Instruction::Add => call("+", 2),
        Instruction::Mul => call("*", 2),
        Instruction::StringConcat => call("~", 2),
        Instruction::Eq => call("==", 2),
        Instruction::Ne => call("!=", 2),
        Instruction::Lt => call("<", 2),
        Instruction::Lte => call("<=", 2),
        Instruction::Gt => call(">", 2),
        Instruction::Gte => call(">=", 2),
        Instruction::In => call("in", 2),
        Instruction::Slice => call("[:]", 4),
        Instruction::BuildList(Some(count)) | Instruction::BuildTuple(Some(count)) => {
            call("[]", *count)
        }
        Instruction::BuildMap(pairs) => call("{}", pairs.saturating_mul(2)),
        Instruction::Include(_)
        | Instruction::LoadBlocks
        | Instruction::CallBlock(_)
        | Instruction::FastSuper
        | Instruction::ExportLocals
        | Instruction::CallFunction("super", _) => {
            Err(refuse("other templates or blocks".to_owned()))
        }
        Instruction::CompareAndPreserve(_) => Err(refuse("a chain of comparisons".to_owned())),
        Instruction::UnpackLists(_) | Instruction::MergeKwargs(_) => {
            Err(refuse("arguments unpacked with `*` or `**`".to_owned()))
        }
        // Compares whatever it is given with what it was given before.
        Instruction::CallMethod("changed", _) => Err(refuse("`loop.changed`".to_owned())),
        Instruction::GetAttr(name)
        | Instruction::SetAttr(name)
        | Instruction::CallMethod(name, _)
            if name.starts_with("__") =>
        {
            Err(refuse(format!("the attribute `{name}`")))
        }
        other => Ok(other.clone()),
    }
}

fn invalid(error: &minijinja::Error) -> PromptError {
    PromptError::InvalidTemplate { message: error.to_string() }
}
