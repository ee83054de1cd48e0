"""A word that is being typed stands for all that begin so, unless it is too short: those of one or two letters are many."""

from django.db import migrations

QUERY = """
CREATE OR REPLACE FUNCTION contacts_query(typed text) RETURNS tsquery LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN coalesce((
    SELECT string_agg(
        '''' || replace(replace(word, '\\', '\\\\'), '''', '''''') || ''''
            || CASE WHEN is_last AND length(word) > 2 THEN ':*' ELSE '' END,
        ' & ')::tsquery
    FROM (
        SELECT lexeme AS word, row_number() OVER (ORDER BY positions[cardinality(positions)] DESC) = 1 AS is_last
        FROM unnest(contacts_words(typed))
    ) AS words
), ''::tsquery);
"""

FORMER_QUERY = """
CREATE OR REPLACE FUNCTION contacts_query(typed text) RETURNS tsquery LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN coalesce((
    SELECT (nullif(string_agg('''' || replace(replace(word, '\\', '\\\\'), '''', '''''') || '''', ' & ' ORDER BY at), '') || ':*')::tsquery
    FROM (SELECT lexeme AS word, positions[cardinality(positions)] AS at FROM unnest(contacts_words(typed))) AS words
), ''::tsquery);
"""


class Migration(migrations.Migration):
    dependencies = [("contacts", "0020_lists_narrowed")]

    operations = [migrations.RunSQL(QUERY, FORMER_QUERY)]
