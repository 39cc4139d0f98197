//! One operation: its descriptor and what it does.

use crate::{
    Context, Descriptor, GrantNeeded, Need, OperationKind,
    descriptor::{input_schema, output_schema},
};
use althing_protocol::{Error, Result, limits, v1};
use futures::future::BoxFuture;
use schemars::JsonSchema;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use std::{fmt, sync::Arc};

type Direct = Box<dyn Fn(Context, Value) -> BoxFuture<'static, Result<Value>> + Send + Sync>;
type Plan = Box<dyn Fn(Value) -> Result<Vec<v1::Instruction>> + Send + Sync>;
type Render = Box<dyn Fn(&[v1::Outcome]) -> Result<Value> + Send + Sync>;

enum Body {
    Direct(Direct),
    Replicated { plan: Plan, render: Render },
}

/// A named thing that the node can do.
pub struct Operation {
    descriptor: Descriptor,
    body: Body,
}

impl Operation {
    /// A query. `need` says which grant this input needs; it is asked for before `run`.
    pub fn query<I, O, F>(
        name: &str,
        summary: &str,
        grant: GrantNeeded,
        need: impl Fn(&I) -> Result<Need> + Send + Sync + 'static,
        run: impl Fn(Context, I) -> F + Send + Sync + 'static,
    ) -> Self
    where
        I: DeserializeOwned + JsonSchema + Send + 'static,
        O: Serialize + JsonSchema + 'static,
        F: Future<Output = Result<O>> + Send + 'static,
    {
        let descriptor = describe::<I, O>(name, OperationKind::Query, false, summary, grant);
        Self { descriptor, body: direct(name, need, run) }
    }

    /// An action on this node only, never on the realm. `need` as for a query.
    pub fn local_action<I, O, F>(
        name: &str,
        summary: &str,
        grant: GrantNeeded,
        need: impl Fn(&I) -> Result<Need> + Send + Sync + 'static,
        run: impl Fn(Context, I) -> F + Send + Sync + 'static,
    ) -> Self
    where
        I: DeserializeOwned + JsonSchema + Send + 'static,
        O: Serialize + JsonSchema + 'static,
        F: Future<Output = Result<O>> + Send + 'static,
    {
        let descriptor = describe::<I, O>(name, OperationKind::Action, false, summary, grant);
        Self { descriptor, body: direct(name, need, run) }
    }

    /// A replicated action: `plan` makes instructions of the input, `render` makes the output of
    /// their outcomes. `render` sees successes only.
    pub fn action<I, O>(
        name: &str,
        summary: &str,
        grant: GrantNeeded,
        plan: impl Fn(I) -> Result<Vec<v1::Instruction>> + Send + Sync + 'static,
        render: impl Fn(&[v1::Outcome]) -> Result<O> + Send + Sync + 'static,
    ) -> Self
    where
        I: DeserializeOwned + JsonSchema + 'static,
        O: Serialize + JsonSchema + 'static,
    {
        let descriptor = describe::<I, O>(name, OperationKind::Action, true, summary, grant);
        let name = name.to_owned();
        let plan: Plan = Box::new(move |input| plan(decode(&name, input)?));
        let render: Render = Box::new(move |outcomes| encode(&render(outcomes)?));
        Self { descriptor, body: Body::Replicated { plan, render } }
    }

    /// The same operation, with an input that works in its descriptor.
    pub fn example(mut self, input: Value) -> Self {
        self.descriptor.example = Some(input);
        self
    }

    /// What the registry says about it.
    pub fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    /// The instructions of a replicated action; empty for any other operation.
    ///
    /// # Errors
    /// `invalid`, when the input is not what the schema says or an instruction breaks a limit.
    pub fn plan(&self, input: Value) -> Result<Vec<v1::Instruction>> {
        let Body::Replicated { plan, .. } = &self.body else { return Ok(Vec::new()) };
        let instructions = plan(input)?;
        let count = instructions.len();
        if count == 0 || count > limits::BATCH_PAYLOADS_MAX {
            return Err(Error::invalid(format!(
                "{}: makes {count} instructions, wants 1 to {}; split the input",
                self.descriptor.name,
                limits::BATCH_PAYLOADS_MAX
            )));
        }
        instructions.iter().try_for_each(v1::Instruction::check)?;
        Ok(instructions)
    }

    /// The output of a replicated action, of the outcomes of its instructions.
    ///
    /// # Errors
    /// The first failure among the outcomes, with its position if there are several.
    pub fn render(&self, outcomes: &[v1::Outcome]) -> Result<Value> {
        let name = &self.descriptor.name;
        let Body::Replicated { render, .. } = &self.body else {
            return Err(Error::internal(format!("{name}: has no instructions to render")));
        };
        if outcomes.is_empty() {
            return Err(Error::internal(format!("{name}: the realm returned no outcome")));
        }
        match first_failure(outcomes) {
            Some(error) => Err(error),
            None => render(outcomes),
        }
    }

    /// Runs it in `context`.
    ///
    /// # Errors
    /// What the input, the grants or the operation say.
    pub async fn run(&self, context: Context, input: Value) -> Result<Value> {
        if let Body::Direct(run) = &self.body {
            return run(context, input).await;
        }
        let instructions = self.plan(input)?;
        let count = instructions.len();
        let outcomes = context.authority.submit(&context.caller, instructions).await?;
        if outcomes.len() != count {
            return Err(Error::internal(format!(
                "{}: {count} instructions have {} outcomes",
                self.descriptor.name,
                outcomes.len()
            )));
        }
        self.render(&outcomes)
    }
}

impl fmt::Debug for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Operation {}", self.descriptor.name)
    }
}

fn describe<I: JsonSchema, O: JsonSchema>(
    name: &str,
    kind: OperationKind,
    replicated: bool,
    summary: &str,
    grant: GrantNeeded,
) -> Descriptor {
    Descriptor {
        name: name.to_owned(),
        kind,
        replicated,
        summary: summary.to_owned(),
        input: input_schema::<I>(),
        output: output_schema::<O>(),
        grant,
        example: None,
    }
}

/// The grant is asked for before `run` is called, whatever `run` does.
fn direct<I, O, F>(
    name: &str,
    need: impl Fn(&I) -> Result<Need> + Send + Sync + 'static,
    run: impl Fn(Context, I) -> F + Send + Sync + 'static,
) -> Body
where
    I: DeserializeOwned + Send + 'static,
    O: Serialize + 'static,
    F: Future<Output = Result<O>> + Send + 'static,
{
    let (name, run) = (name.to_owned(), Arc::new(run));
    Body::Direct(Box::new(move |context, input| {
        let asked = decode::<I>(&name, input).and_then(|input| Ok((need(&input)?, input)));
        let run = Arc::clone(&run);
        Box::pin(async move {
            let (need, input) = asked?;
            context.allow(&need).await?;
            encode(&run(context, input).await?)
        })
    }))
}

/// No input at all is an empty object. An array is refused: fields have names, not places.
fn decode<I: DeserializeOwned>(name: &str, input: Value) -> Result<I> {
    let refused = |reason: &dyn fmt::Display| {
        Error::invalid(format!("input of {name}: {reason}; see `althing ops describe {name}`"))
    };
    let input = match input {
        Value::Null => Value::Object(serde_json::Map::new()),
        Value::Object(_) => input,
        _ => return Err(refused(&"wants a JSON object")),
    };
    serde_json::from_value(input).map_err(|e| refused(&e))
}

fn encode(output: &impl Serialize) -> Result<Value> {
    serde_json::to_value(output).map_err(|e| Error::internal(format!("output: {e}")))
}

/// An entry's instructions stand alone: one that fails does not undo the others.
fn first_failure(outcomes: &[v1::Outcome]) -> Option<Error> {
    let (position, index, failure) =
        outcomes.iter().enumerate().find_map(|(at, outcome)| match &outcome.result {
            Some(v1::outcome::Result::Failure(failure)) => Some((at + 1, outcome.index, failure)),
            _ => None,
        })?;
    let error = Error::from(failure);
    if outcomes.len() == 1 {
        return Some(error);
    }
    let message = format!(
        "instruction {position} of {} in entry {index}: {}; each stands alone, see the others \
         with `althing log show {index}`",
        outcomes.len(),
        error.message
    );
    Some(Error { message, ..error })
}
