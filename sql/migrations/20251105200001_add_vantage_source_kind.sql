-- transactional: false
-- Tells rows that come from Vantage from those of other sources.
ALTER TYPE investor_source_kind ADD VALUE IF NOT EXISTS 'vantage';
