//! From `dice_loss` to a head.

use std::sync::LazyLock;

use dice_simd::loss::{ClassWeights, Compound, Loss as CoreLoss, Options, Pooling, Term as CoreTerm};
use dice_simd::{Cotangent, Error, Grouping, LossHead, Reduction, Request, Sum, Values};

use crate::arguments::{
    Growing, Memory, check_address, check_size, checked_output, checked_slice, checked_struct, grown, variant,
};
use crate::memory;
use crate::status::{Failure, Status, call};
use crate::term::{Room, Term, WEIGHTINGS, read};

/// `dice_loss`.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct LossStruct {
    struct_size: usize,
    term_size: usize,
    terms: *const Term,
    num_terms: usize,
    #[cfg(feature = "grown")]
    grown: f64,
}

// SAFETY: any bits are valid.
unsafe impl Growing for LossStruct {
    const FIRST: usize = 32;
}

/// The loss of no terms.
static DEFAULT: LazyLock<Compound> = LazyLock::new(Compound::default);

/// A head of the caller's description.
#[derive(Debug, Default)]
pub(crate) struct Loss {
    head: Compound,
    /// What it asks for.
    request: Request,
    /// What one of its terms asks for.
    of_term: Request,
    room: Room,
}

/// The head's numbers, and their copies in the requests of whatever is made for it.
const COPIES: usize = 8;

impl Loss {
    /// Reads the struct.
    ///
    /// # Safety
    /// `loss` is NULL or points to a `dice_loss` whose pointers are NULL or valid.
    pub(crate) unsafe fn read(&mut self, loss: *const LossStruct) -> Result<(), Failure> {
        self.room.clear(&mut self.head);
        self.request.clear();
        // SAFETY: the caller vouches for the pointer.
        let loss = unsafe { checked_struct(loss, "loss") }?;
        if loss.num_terms == 0 {
            self.head.terms.extend_from_slice(&DEFAULT.terms);
        } else {
            // SAFETY: the caller vouches for the terms.
            unsafe { self.read_terms(&loss) }?;
        }
        self.head.require(&mut self.request);
        Ok(())
    }

    /// # Safety
    /// As [`read`](Self::read).
    unsafe fn read_terms(&mut self, loss: &LossStruct) -> Result<(), Failure> {
        check_size::<Term>(loss.term_size, "loss.term_size")?;
        if loss.num_terms > isize::MAX as usize / loss.term_size {
            let sentence = format_args!("loss.num_terms = {}: so many are impossible", loss.num_terms);
            return Err(Failure::new(Status::Length, sentence));
        }
        check_address(loss.terms, loss.num_terms, "loss.terms")?;
        // SAFETY: the caller vouches for the terms, which are `term_size` bytes each.
        let term = |index| unsafe { grown(loss.terms.wrapping_byte_add(index * loss.term_size), loss.term_size) };
        let numbers = (0..loss.num_terms).map(|index| term(index).numbers()).fold(0, usize::saturating_add);
        let numbers = numbers.checked_mul(COPIES * size_of::<f64>());
        let bytes = numbers.and_then(|bytes| bytes.checked_add(loss.num_terms.checked_mul(size_of::<Term>())?));
        memory::find(bytes, "the terms of the loss and the numbers that they point to")?;
        for index in 0..loss.num_terms {
            // SAFETY: the caller vouches for the numbers.
            self.head.terms.push(unsafe { read(&term(index), index, &mut self.room) }?);
        }
        Ok(())
    }

    pub(crate) fn head(&self) -> &Compound {
        &self.head
    }

    pub(crate) fn request(&self) -> &Request {
        &self.request
    }

    /// Forgets what it has read; gives the bytes that the room for it takes, copies in requests included.
    pub(crate) fn forget(&mut self) -> usize {
        self.room.clear(&mut self.head);
        COPIES * size_of::<f64>() * self.room.len()
    }

    /// The rows of the cotangent and the values of the loss, for a table of `samples` × `classes`.
    pub(crate) fn rows_and_values(&self, samples: usize, classes: usize) -> Result<(usize, Values), Failure> {
        let of_term = |term: &CoreTerm| {
            let (grouping, values) = shape(&term.loss, classes);
            (grouping.rows(samples), values)
        };
        let mut shapes = self.head.terms.iter().map(of_term);
        let (mut rows, values) = shapes.next().unwrap_or((1, Values::One));
        for (more, others) in shapes {
            let (expected, found) = (values.len(rows, classes), others.len(more, classes));
            if values != others || expected != found {
                let error = Error::StatisticsMismatch { what: "values of each term of a compound", expected, found };
                return Err(error.into());
            }
            // One row is shared by all samples, if there are any.
            rows = if rows == 1 { more } else { rows };
        }
        Ok((rows, values))
    }

    /// The part of the request that a term reads.
    pub(crate) fn part(&mut self, term: usize) -> Result<usize, Failure> {
        self.of_term.clear();
        self.head.terms[term].loss.require(&mut self.of_term);
        Ok(self.request.find(&self.of_term.part(0))?)
    }

    /// The column of a sum that a term asks for, among all columns.
    pub(crate) fn column(&mut self, term: i64, sum: Sum) -> Result<usize, Failure> {
        let terms = self.head.terms.len();
        let place = usize::try_from(term).ok().filter(|&place| place < terms).ok_or_else(|| {
            let sentence = format_args!("term = {term}: the loss has {terms}");
            Failure::new(Status::InvalidArgument, sentence).numbers(term, terms as i64)
        })?;
        let part = self.part(place)?;
        self.request.column(part, sum).ok_or_else(|| {
            let sentence = format_args!("the terms of the loss do not ask for the sum {sum:?} as term {term} has it");
            Failure::new(Status::InvalidArgument, sentence).numbers(sum as i64, -1)
        })
    }

    /// Makes `cotangent` that of `samples` × `classes`, from its derivatives.
    pub(crate) fn read_cotangent(
        &self,
        samples: usize,
        classes: usize,
        derivatives: &[f64],
        cotangent: &mut Cotangent,
    ) -> Result<(), Failure> {
        let (rows, values) = self.rows_and_values(samples, classes)?;
        let found = derivatives.len();
        let expected = rows.checked_mul(classes).and_then(|n| n.checked_mul(self.request.columns()));
        if expected != Some(found) {
            return Err(Error::Length { what: "cotangent", expected: expected.unwrap_or(usize::MAX), found }.into());
        }
        cotangent.reset(&self.request, rows, classes, values)?;
        cotangent.as_mut_slice().copy_from_slice(derivatives);
        Ok(())
    }
}

/// Which samples share values of a loss, and how many it has.
fn shape(loss: &CoreLoss, classes: usize) -> (Grouping, Values) {
    let of_groups =
        |grouping, reduction| (grouping, if reduction == Reduction::None { Values::PerGroup } else { Values::One });
    let of_classes = |options: &Options| match (options.reduction, options.pooling) {
        (Reduction::None, Pooling::PerClass) => (options.grouping, Values::PerClass { first: options.first(classes) }),
        (reduction, _) => of_groups(options.grouping, reduction),
    };
    match loss {
        CoreLoss::GeneralizedDice(loss) => of_groups(loss.grouping, loss.reduction),
        CoreLoss::SoftDice(loss) => of_classes(&loss.options),
        CoreLoss::Jaccard(loss) => of_classes(&loss.options),
        CoreLoss::Tversky(loss) => of_classes(&loss.options),
        CoreLoss::FocalTversky(loss) => of_classes(&loss.tversky.options),
        CoreLoss::Mcc(loss) => of_classes(&loss.options),
        CoreLoss::Wasserstein(loss) => of_groups(loss.grouping, loss.reduction),
        CoreLoss::CrossEntropy(loss) => of_groups(loss.grouping, loss.reduction),
        CoreLoss::Focal(loss) => of_groups(loss.grouping, loss.reduction),
        _ => unreachable!("no term is read as any other loss"),
    }
}

/// See `dice.h`.
///
/// # Safety
/// Each pointer is NULL or points to `num` numbers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dice_class_weights_from_volumes(
    volumes: *const f64,
    num: usize,
    weighting: i32,
    weights: *mut f64,
) -> i32 {
    call(|| {
        let weighting = variant(&WEIGHTINGS, weighting, "weighting")?;
        // SAFETY: the caller vouches for the buffer.
        let volumes = unsafe { checked_slice(volumes, num, "volumes") }?;
        // SAFETY: the caller vouches for the buffer.
        let output = unsafe { checked_output(weights, num, num, "weights") }?;
        output.memory().check_same_or_apart(&Memory::new(volumes.as_ptr(), num, "volumes"))?;
        memory::find(num.checked_mul(size_of::<f64>()), format_args!("the weights of {num} classes"))?;
        output.write(ClassWeights::from_volumes(volumes, weighting)?.weights.into_iter());
        Ok(())
    })
}
